"""Begin and end sessions of TensorRT in a child process of a self-test, as programs do.

What is checked by some of these is how the process ends, which its parent sees.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hot_sdk.doctor.self_test.models import DEVICE, sample
from hot_sdk.engines import Session, SessionOptions, open_session
from hot_sdk.engines.cuda.device import open_device
from hot_sdk.errors import EngineError

_ROUNDS = 5
_LARGEST_LOSS = 64 << 20
_INTERRUPT_AFTER_S = 1.0
_left_open: list[Session] = []


def threads(model: Path, folder: Path) -> dict[str, Any]:
    """Open a session in one thread, run it in four others, close it in another."""
    arrays = sample(model)
    session = _opened(model, folder)
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda _: session.run(arrays), range(40)))
        pool.submit(session.close).result()
    first = outputs[0]
    wrong = sum(
        any(one[name].tobytes() != first[name].tobytes() for name in one) for one in outputs
    )
    problems = [f"{wrong} of {len(outputs)} runs differ"] if wrong else []
    return {"found": "one session, run in 4 threads, closed in another", "problems": problems}


def left_open(model: Path, folder: Path) -> dict[str, Any]:
    """Leave a session open; the process has to end without a crash."""
    session = _opened(model, folder)
    session.run(sample(model))
    _left_open.append(session)
    return {"found": "a session left open did not crash the process at its end", "problems": []}


def daemon_at_exit(model: Path, folder: Path) -> dict[str, Any]:
    """Leave a thread running a session; the process has to end without a crash."""
    arrays = sample(model)
    session = _opened(model, folder)

    def run_forever() -> None:
        try:
            while True:
                session.run(arrays)
        except EngineError:  # Closed, at the end of the process.
            return

    threading.Thread(target=run_forever, daemon=True).start()
    time.sleep(0.2)
    return {"found": "a thread in a run did not crash the process at its end", "problems": []}


def interrupted_build(model: Path) -> dict[str, Any]:
    """Press Ctrl-C during a build, which has to end it."""
    # A process in the background ignores Ctrl-C, and so do those that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(_INTERRUPT_AFTER_S, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    start = time.monotonic()
    timer.start()
    try:
        open_session(model, SessionOptions(device=DEVICE), engine="tensorrt").close()
        timer.cancel()
    except KeyboardInterrupt:
        waited = time.monotonic() - start - _INTERRUPT_AFTER_S
        return {"found": f"a build ended {waited:.1f} s after Ctrl-C", "problems": []}
    if time.monotonic() - start < _INTERRUPT_AFTER_S:
        return {"not run": f"the plan was built in less than {_INTERRUPT_AFTER_S:g} s"}
    return {"found": "", "problems": ["Ctrl-C did not end the build"]}


def memory_returned(model: Path, folder: Path) -> dict[str, Any]:
    """Open and close a session often; its memory has to come back."""
    arrays = sample(model)
    free = []
    for _ in range(_ROUNDS):
        with _opened(model, folder) as session:
            session.run(arrays)
        device = open_device(0, purpose="The self-test")
        with device.pushed("reading its memory"):
            free.append(int(device.cuda.mem_get_info()[0]))
        device.release()
    # The first session also loads libraries, which stay.
    lost = free[0] - free[-1]
    problems = [f"{lost >> 20} MiB did not come back"] if lost > _LARGEST_LOSS else []
    found = f"{_ROUNDS} sessions opened and closed, {lost / 2**20:.0f} MiB less free than after one"
    return {"found": found, "problems": problems}


def _opened(model: Path, folder: Path) -> Session:
    return open_session(model, SessionOptions(device=DEVICE, cache_dir=folder), engine="tensorrt")
