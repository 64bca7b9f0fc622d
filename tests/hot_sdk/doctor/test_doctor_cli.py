"""``hot-doctor`` as a user meets it, and how findings become a report."""

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest
from faked_machines import answers, faked, jetson, programs

from hot_sdk.doctor import Finding
from hot_sdk.doctor.cli import main
from hot_sdk.doctor.diagnosis import CHECKS, capabilities, diagnose
from hot_sdk.doctor.report import as_record, show
from hot_sdk.errors import HotSDKError
from hot_sdk.host import one_line
from hot_sdk.version import __version__

CALL = "import sys; from hot_sdk.doctor.cli import main; sys.exit(main())"


def doctor(*arguments, before="", **options):
    command = [sys.executable, "-c", f"{before}{CALL}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def on_this_machine():
    """Output of one real run, as JSON."""
    return doctor("--json")


def test_json(on_this_machine):
    record = json.loads(on_this_machine.stdout)
    assert set(record) == {"schema", "findings", "summary"}
    by_name = {finding["name"]: finding for finding in record["findings"]}
    assert len(by_name) == len(record["findings"])
    assert by_name["provider CPUExecutionProvider"]["status"] == "ok"
    assert all(set(f) == {"name", "status", "detail", "fix"} for f in record["findings"])
    counts = record["summary"]["counts"]
    assert sum(counts.values()) == len(by_name)
    assert on_this_machine.returncode == (13 if counts["wrong"] else 0)
    assert record["summary"]["capabilities"][0] == {
        "name": "ONNX Runtime on the CPU",
        "usable": True,
        "reason": "",
    }


def test_no_check_fails_on_this_machine(on_this_machine):
    assert "the check itself failed" not in on_this_machine.stdout
    assert on_this_machine.stderr == ""


def test_text_without_rich(on_this_machine):
    run = doctor(before="import sys; sys.modules['rich'] = None;")
    table, *fixes, closing = run.stdout.rstrip("\n").split("\n\n")
    found = json.loads(on_this_machine.stdout)["findings"]
    header, *lines = table.splitlines()
    assert header.split() == ["status", "check", "found"]
    assert len(lines) == len(found)
    for line, finding in zip(lines, found, strict=True):
        assert f"  {finding['name']}  " in f"{line}  "
    expected = [f"{f['status']}: {f['name']}\n  {f['fix']}" for f in found if f["fix"]]
    assert fixes == expected
    assert closing.startswith("ONNX Runtime on the CPU: yes; ONNX Runtime on CUDA: ")
    assert run.stderr == ""


def test_starts_where_numpy_is_broken(on_this_machine):
    run = doctor("--json", before="import sys; sys.modules['numpy'] = None;")
    assert run.stderr == ""
    assert run.returncode == on_this_machine.returncode
    found, expected = (json.loads(one.stdout)["findings"] for one in (run, on_this_machine))
    assert [finding["name"] for finding in found] == [finding["name"] for finding in expected]


SHOW = (
    "from hot_sdk.doctor import Finding\n"
    "from hot_sdk.doctor.report import show\n"
    "show([Finding('[b]a', 'wrong', 'broken ' * 20, 'pip install ' + 'package ' * 20)])\n"
)


def on_a_terminal(before):
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-c", f"{before}{SHOW}"]
    with subprocess.Popen(command, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # Raised when the terminal's other end is closed.
            while part := os.read(master, 4096):
                shown += part
    os.close(master)
    assert process.returncode == 0
    return shown.decode()


def test_a_terminal_with_rich_and_without():
    pytest.importorskip("rich")
    table, plain = on_a_terminal(""), on_a_terminal("import sys; sys.modules['rich'] = None\n")
    assert "\x1b[1;31mwrong" in table
    assert "\x1b[" not in plain
    for shown in (table, plain):
        assert "[b]a" in shown
        # A command to be copied is not broken into lines.
        assert "pip install " + " ".join(["package"] * 20) in shown
        assert "ONNX Runtime on the CPU: no, because" in shown


def test_wrong_arguments(capsys):
    assert main(["--jsno"]) == 2
    said = capsys.readouterr().err
    assert said == "hot-doctor: error: Unknown argument '--jsno'. Did you mean '--json'?\n"


def test_help_lists_the_exit_statuses(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "13 something is wrong" in capsys.readouterr().out


def test_13_is_the_exit_status_of_no_error():
    def below(kind):
        return {kind.exit_status}.union(*(below(child) for child in kind.__subclasses__()))

    assert 13 not in below(HotSDKError)


def test_failing_check_is_a_finding_and_the_others_run():
    def check_first(_machine):
        raise RuntimeError("first\nsecond")

    def check_second(_machine):
        return (Finding("second", "ok", "reached"),)

    findings = diagnose(faked(), [check_first, check_second])
    assert [(f.name, f.status) for f in findings] == [("first", "wrong"), ("second", "ok")]
    assert findings[0].detail == "the check itself failed: RuntimeError: first second"


def test_text_of_other_programs_fits_a_line():
    assert one_line("\x1b[1;31mE: \x1b[mbad\r\n\tthing\x07\u202e") == "E: bad thing"
    assert len(one_line("x" * 10_000)) == 402


def test_the_report(capsys):
    findings = (
        Finding("a", "ok", "fine"),
        Finding("longer", "missing", "not here", "pip install it"),
    )
    show(findings)
    *lines, closing = capsys.readouterr().out.splitlines()
    assert lines == [
        "status   check   found",
        "ok       a       fine",
        "missing  longer  not here",
        "",
        "missing: longer",
        "  pip install it",
        "",
    ]
    assert closing.startswith("ONNX Runtime on the CPU: no, because ")
    assert as_record(findings)["summary"]["counts"] == {
        "ok": 1,
        "missing": 1,
        "wrong": 0,
        "info": 0,
    }


def test_a_jetson_in_order_from_end_to_end():
    two = [2.0, 2.0, 2.0, 2.0]
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    run = programs(
        onnxruntime=answers({"version": "1.23.0", "providers": providers}),
        provider_CUDAExecutionProvider=answers({"providers": providers, "result": two}),
        provider_CPUExecutionProvider=answers({"providers": providers[1:], "result": two}),
        pycuda=answers({"version": "2026.1", "devices": ["Orin"]}),
    )
    have = {"hot-sdk": __version__, "onnxruntime-gpu": "1.23.0"}
    findings = diagnose(jetson("36.4.3", distributions=have, run=run))
    assert [f for f in findings if f.status == "wrong"] == []
    able = {capability.name: capability.usable for capability in capabilities(findings)}
    assert able == {
        "ONNX Runtime on the CPU": True,
        "ONNX Runtime on CUDA": True,
        "TensorRT": False,
    }


def test_an_empty_machine_breaks_no_check():
    findings = diagnose(faked())
    assert "the check itself failed" not in str(findings)
    assert len(CHECKS) == len(set(CHECKS))
    assert not any(capability.usable for capability in capabilities(findings))
    assert all(capability.reason for capability in capabilities(findings))
