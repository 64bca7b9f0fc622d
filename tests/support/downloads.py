"""Packages that single tests need and no environment has: fetched once, kept for the next run.

They lie in ``hot-sdk-tests`` in the user's cache folder, by version and Python.
"""

import contextlib
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def cache_folder(name):
    """A folder of the cache, made where it is absent."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    series = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = caches / "hot-sdk-tests" / series / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pinned(package):
    """The version of a package in constraints.txt."""
    text = _CONSTRAINTS.read_text(encoding="utf-8")
    return re.search(rf"^{re.escape(package)}==([^\s;]+)", text, re.MULTILINE)[1]


@contextlib.contextmanager
def made_once(folder):
    """Yield whether the folder's content is still missing; only one process at a time does."""
    done = folder / "done"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.is_file()
        done.touch()


def download(requirement, folder, *, source=False):
    """Fetch one package without its dependencies; the test skips if it cannot be fetched."""
    form = ["--no-binary" if source else "--only-binary", requirement.partition("==")[0]]
    command = [*_pip("download"), "--no-deps", *form, "--dest", str(folder), requirement]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        error = next((line for line in run.stderr.splitlines() if line.startswith("ERROR")), "")
        pytest.skip(f"{requirement} cannot be fetched here: {error or run.stderr[-200:]}")
    pattern = requirement.replace("-", "[-_]").replace("==", "-") + "*"
    (found,) = folder.glob(pattern)
    return found


def install(wheel, folder):
    """Install a wheel and its dependencies into a separate folder."""
    command = [*_pip("install"), "--target", str(folder), "--constraint", str(_CONSTRAINTS)]
    subprocess.run([*command, str(wheel)], capture_output=True, text=True, check=True)


def build_wheel(source, folder):
    """Build a wheel from a source tree; the test fails, with the compiler's words, if it cannot."""
    command = [*_pip("wheel"), "--no-deps", "--wheel-dir", str(folder), str(source)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout[-4000:]}\n{run.stderr[-4000:]}"
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pip(verb):
    quiet = ["--disable-pip-version-check", "--quiet", "--retries", "1"]
    return [sys.executable, "-m", "pip", *quiet, verb]
