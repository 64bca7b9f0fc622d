from __future__ import annotations

import importlib
import importlib.metadata
import json
import shlex
import subprocess
import sys

import pytest

from hot_sdk._base.optional import install_command, require
from hot_sdk.errors import MissingDependencyError

ABSENT = "package_that_nobody_has"


@pytest.fixture
def make_module(tmp_path, monkeypatch):
    """Write an importable module of the given name and source."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


def refusal(module):
    with pytest.raises(MissingDependencyError) as caught:
        require(module, extra="video", purpose="Reading a video")
    error = caught.value
    assert error.hint == 'Run: pip install "hot-sdk[video]"'
    assert error.message.startswith(f"Reading a video needs the package '{module}', which cannot")
    assert str(error).isprintable()
    return error


def test_returns_the_module():
    assert require("json", extra="video", purpose="Reading a video") is json


def test_returns_the_submodule_of_a_dotted_name():
    decoder = require("json.decoder", extra="video", purpose="Reading a video")
    assert decoder is json.decoder


@pytest.mark.parametrize("module", [ABSENT, f"{ABSENT}.part", "json.no_such_part"])
def test_missing_package_is_named_with_its_extra(module):
    assert isinstance(refusal(module).__cause__, ModuleNotFoundError)


def test_missing_package_of_a_package_is_named_too(make_module):
    module = make_module("needs_another", f"import {ABSENT}.part\n")
    assert f"No module named '{ABSENT}'" in refusal(module).message


def test_shared_library_that_does_not_load_is_named(make_module):
    source = "import ctypes\nctypes.CDLL('libnobody_has_this.so.1')\n"
    module = make_module("needs_a_library", source)
    assert "libnobody_has_this.so.1" in refusal(module).message


def test_reason_is_put_in_one_line(make_module):
    module = make_module("explains_at_length", "raise ImportError('first line\\n\\n  second')\n")
    assert "(first line second)" in refusal(module).message


def test_command_needs_no_index_that_has_the_sdk():
    # openvino is installed for the tests, so that nothing has to be downloaded.
    words = shlex.split(install_command("openvino"))
    assert words[0] == "pip"
    command = [sys.executable, "-m", *words, "--dry-run", "--no-index", "--no-deps"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Would install" not in ran.stdout


def test_all_is_every_extra_of_users_but_those_without_wheels_everywhere():
    # PyCUDA is compiled on the user's machine, and CycloneDDS has no wheel for ARM's Linux.
    extras = set(importlib.metadata.metadata("hot-sdk").get_all("Provides-Extra"))
    required = importlib.metadata.requires("hot-sdk")
    (line,) = (text for text in required if text.startswith("hot-sdk[") and '"all"' in text)
    named = set(line.partition("[")[2].partition("]")[0].split(","))
    assert named == extras - {"all", "dev", "docs", "ros", "tensorrt"}


def test_bug_in_the_package_is_not_hidden(make_module):
    module = make_module("is_broken", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        require(module, extra="video", purpose="Reading a video")
