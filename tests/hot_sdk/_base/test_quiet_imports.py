import os
import subprocess
import sys

import pytest

from hot_sdk._base.quiet_imports import ALLOW, VARIABLES, import_quietly, silence


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in (ALLOW, *VARIABLES):
        # Set first, so that what the test leaves is removed.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)


def test_telemetry_is_turned_off():
    silence()
    assert {name: os.environ[name] for name in VARIABLES} == VARIABLES


def test_what_the_user_set_is_left(monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    silence()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def test_allowed_telemetry_is_left_alone(monkeypatch):
    monkeypatch.setenv(ALLOW, "1")
    silence()
    import_quietly("json")
    assert not set(VARIABLES) & set(os.environ)


def test_importing_the_package_turns_it_off_for_children():
    code = (
        "import hot_sdk, subprocess, sys\n"
        "code = 'import os; print(os.environ[\"ORT_DISABLE_TELEMETRY\"])'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "1\n"


@pytest.mark.parametrize(("allowed", "seen"), [("0", "False"), ("1", "True")])
def test_openvino_finds_its_telemetry_only_if_allowed(tmp_path, allowed, seen):
    for name, text in {
        "openvino": (
            "try: import openvino_telemetry\n"
            "except ImportError: found = False\n"
            "else: found = True\n"
        ),
        "openvino_telemetry": "",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from hot_sdk._base.quiet_imports import import_quietly\n"
        "found = import_quietly('openvino').found\n"
        "import openvino_telemetry\n"
        "print(found)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, ALLOW: allowed}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == seen


def test_missing_library_raises_its_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        import_quietly("no_such_library")
