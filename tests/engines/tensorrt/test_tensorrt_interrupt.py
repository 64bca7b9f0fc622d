"""Ctrl-C during a build by NVIDIA's own binding and compiler (TensorRT-RTX, which needs no GPU)."""

import os
import subprocess
import sys

import tensorrt_compiler

# In a process of its own: a signal that came late, or a compiler that crashed, would end the tests.
PROGRAM = """
import os, signal, threading
from hot_sdk.engines.cuda.interrupts import interrupts_deferred
from hot_sdk.starter import starter_model
from tensorrt_compiler import compiled

timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
finished = []
try:
    with interrupts_deferred() as pressed:
        timer.start()
        finished.append(compiled(starter_model(), stop=pressed))
except KeyboardInterrupt:
    handler = signal.getsignal(signal.SIGINT)
    print("interrupted", len(finished), handler is signal.default_int_handler)
"""


def test_an_interrupt_ends_a_build():
    support = os.path.dirname(tensorrt_compiler.__file__)
    # A shell's process in the background ignores Ctrl-C, and so would this one.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + PROGRAM
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": support},
    )
    assert ran.stdout.split() == ["interrupted", "0", "True"], ran.stderr
    assert ran.returncode == 0
