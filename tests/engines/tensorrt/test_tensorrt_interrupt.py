"""Ctrl-C during a build by NVIDIA's own binding and compiler (TensorRT-RTX, which needs no GPU)."""

import os
import signal
import threading

import pytest
from tensorrt_compiler import compiled

from hot_sdk.engines.cuda.interrupts import interrupts_deferred
from hot_sdk.starter import starter_model


def test_an_interrupt_ends_a_build():
    finished = []

    def build():
        with interrupts_deferred() as pressed:
            timer.start()
            finished.append(compiled(starter_model(), stop=pressed))

    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        build()
    timer.join()
    assert finished == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
