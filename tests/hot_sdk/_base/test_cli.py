"""What all command lines do alike."""

import errno
import json
import os
import subprocess
import sys

import pytest

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.validation import closest
from hot_sdk.errors import EngineError, KeypointsError, UsageError


def raising(error):
    def run(_arguments):
        raise error

    return run


def test_body_gets_the_arguments_and_returns_the_status(capsys):
    seen = []
    assert run_command("hot-x", ["a", "--b"], seen.append) == 0
    assert seen == [["a", "--b"]]
    assert run_command("hot-x", [], lambda _: 13) == 13
    assert capsys.readouterr() == ("", "")


def test_uses_the_arguments_of_the_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["hot-x", "one"])
    seen = []
    assert run_command("hot-x", None, seen.append) == 0
    assert seen == [["one"]]


def test_our_errors_are_one_line_with_their_status(capsys):
    assert run_command("hot-x", [], raising(EngineError("It is absent.", hint="Get it."))) == 8
    assert capsys.readouterr() == ("", "hot-x: error: It is absent. Get it.\n")


def test_our_errors_are_a_json_record_too(capsys):
    run_command("hot-x", ["--json"], raising(UsageError("Not so.", hint="So.")))
    out = capsys.readouterr().out
    expected = {"code": "usage", "message": "Not so.", "hint": "So."}
    assert json.loads(out) == {"error": expected}


def test_interrupt_is_one_line_with_status_130(capsys):
    run = raising(KeyboardInterrupt())
    assert run_command("hot-x", [], run, interrupted="interrupted; half done") == 130
    assert capsys.readouterr().err == "hot-x: interrupted; half done\n"


def test_unexpected_error_is_one_short_line(capsys):
    assert run_command("hot-x", [], raising(RuntimeError("one\n" + "two " * 999))) == 1
    said = capsys.readouterr().err
    assert said.startswith("hot-x: internal error: RuntimeError: one two two")
    assert said.endswith("Run again with -v for the traceback, and report it.\n")
    assert said.count("\n") == 1
    assert len(said) < 420


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.EIO, "Input/output error", "/proc/x"),
            "'/proc/x' cannot be read or written",
        ),
        (PermissionError(errno.EACCES, "Permission denied", b"/a"), "'/a' cannot be read"),
        (OSError(errno.ENOSPC, "No space left on device"), "A file cannot be read or written: No"),
    ],
)
def test_errors_of_files_and_disks_are_ours(capsys, error, said):
    assert run_command("hot-x", ["--json"], raising(error)) == UsageError.exit_status
    captured = capsys.readouterr()
    assert captured.err.startswith(f"hot-x: error: {said}")
    assert json.loads(captured.out)["error"]["code"] == "usage"


def test_broken_pipe_of_the_command_is_an_internal_error(capsys):
    assert run_command("hot-x", [], raising(BrokenPipeError(32, "Broken pipe"))) == 1
    assert "internal error: BrokenPipeError" in capsys.readouterr().err


BODY = """
import sys
from hot_sdk._base.cli import CommandParser, run_command
def run(arguments):
    parser = CommandParser(prog="hot-x")
    parser.add_shared_arguments()
    parser.parse(arguments)
    {body}
sys.exit(run_command("hot-x", None, run))
"""


def process(body, *arguments, flags=(), **options):
    command = [sys.executable, *flags, "-c", BODY.format(body=body), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        command, stderr=subprocess.PIPE, text=True, check=False, env=environment, **options
    )


@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("flags", [(), ("-u",)])
def test_reader_that_exits_early(size, flags):
    reader, writer = os.pipe()
    os.close(reader)
    run = process(f"sys.stdout.write('x' * {size})", flags=flags, stdout=writer)
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, "")


def test_help_into_a_closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    run = process("pass", "--help", stdout=writer)
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, "")


@pytest.mark.parametrize(("size", "status"), [(10, 1), (1_000_000, 2)])
def test_full_disk(size, status):
    with open("/dev/full", "w") as full:
        run = process(f"sys.stdout.write('x' * {size})", stdout=full)
    # What is still in a buffer fails at the end, and more than that in the body.
    assert run.returncode == status
    assert run.stderr.startswith("hot-x: ")
    assert "No space left on device" in run.stderr
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr


def test_closed_standard_output():
    run = process("sys.stdout.write('x')", preexec_fn=lambda: os.close(1))
    assert (run.returncode, run.stderr) == (0, "")


def test_traceback_is_printed_if_verbose():
    assert "Traceback" not in process("1 / 0", stdout=subprocess.DEVNULL).stderr
    assert "Traceback" in process("1 / 0", "-v", stdout=subprocess.DEVNULL).stderr


def parser():
    made = CommandParser(prog="hot-x", epilog="line one\nline two")
    made.add_argument("--model", required=True)
    made.add_argument("--side", type=int, choices=(17, 14))
    made.add_shared_arguments()
    return made


def test_parser_reads_arguments():
    options = parser().parse(["--model", "m", "--json", "-v"])
    assert (options.model, options.json, options.verbose) == ("m", True, True)
    assert "line one\nline two" in parser().format_help()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: --model. Run: hot-x --help"),
        (["--model", "m", "--jsn"], "Unknown argument '--jsn'. Did you mean '--json'?"),
        (["--mode", "m"], "required: --model"),
        (["--side", "18"], "--side is '18'; expected one of 17, 14. Did you mean '17'?"),
        (["--side", "0"], "--side is '0'; expected one of 17, 14. Run: hot-x --help"),
        (["--model", "m", "what"], "Unknown argument 'what'. Known: -h, --help, --model"),
    ],
)
def test_parser_raises_usage_errors(arguments, said):
    with pytest.raises(UsageError) as caught:
        parser().parse(arguments)
    assert said in str(caught.value)


def test_closest_names_a_similar_word():
    assert closest("jsno", ["json", "csv"]) == "Did you mean 'json'?"
    assert closest("zzz", ["json", "csv"]) == "Known: json, csv."


def test_control_characters_of_files_are_not_printed(capsys):
    def fail(_):
        raise KeypointsError("'a\x1b[2J\nb\u202ec' is broken.", hint="Look \u00e9\u65e5.")

    assert run_command("hot-test", [], fail) == KeypointsError.exit_status
    written = capsys.readouterr().err
    assert written == "hot-test: error: 'a\\x1b[2J\\nb\\u202ec' is broken. Look \u00e9\u65e5.\n"
