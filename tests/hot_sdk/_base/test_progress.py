import io
from contextlib import redirect_stderr

import pytest

from hot_sdk._base import progress
from hot_sdk._base.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(progress, "_DELAY_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    # Here pytest would put its own stream back before the test.
    return Terminal()


@pytest.fixture
def now(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def shown(bar):
    """Wait for the bar, which a timer shows."""
    bar._timer.join()
    (task,) = bar._bar.tasks
    return task


def test_pipe_shows_nothing_without_a_name(capsys):
    with Progress("reading") as bar:
        bar.update(1, 2)
    assert capsys.readouterr() == ("", "")


def test_pipe_gets_a_line_per_task_and_ten_seconds(capsys, now):
    with Progress("starting", lines_of="hot-x") as bar:
        bar.update(0, 4)
        bar.update(1, 4)
        bar.update(1, 4, task="measuring, round 1")
        now[0] += 5.0
        bar.update(2, 4, task="measuring, round 2")
        now[0] += 5.0
        bar.update(3, 4, task="measuring, round 3")
        bar.update(0.25, 1.0, task="writing")
        bar.update(7, task="counting")
    assert capsys.readouterr().err.splitlines() == [
        "hot-x: starting (0/4)",
        "hot-x: measuring, round 1 (1/4)",
        "hot-x: measuring, round 3 (3/4)",
        "hot-x: writing (25%)",
        "hot-x: counting (7)",
    ]


def test_quiet_shows_nothing_anywhere(capsys, terminal):
    with redirect_stderr(terminal), Progress("reading", lines_of="hot-x", quiet=True) as bar:
        bar.update(1, 2)
    assert terminal.getvalue() == ""


def test_terminal_shows_a_bar_instead_of_lines(terminal):
    with redirect_stderr(terminal), Progress("reading", lines_of="hot-x") as bar:
        bar.update(1, 4)
        task = shown(bar)
        assert (task.description, task.completed, task.total) == ("reading", 1, 4)
        assert task.fields["amount"] == "1/4"
        bar.update(0.5, 1.0, task="writing")
        assert (task.description, task.fields["amount"]) == ("writing", "50%")
    assert "reading" in terminal.getvalue()
    assert "hot-x" not in terminal.getvalue()


def test_task_that_ends_early_shows_nothing(terminal, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY_S", 60.0)
    with redirect_stderr(terminal), Progress("reading") as bar:
        bar.update(1, 4)
    bar._timer.join()
    bar._show()
    assert terminal.getvalue() == ""


def test_terminal_without_rich_gets_lines(terminal, monkeypatch):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    with redirect_stderr(terminal), Progress("reading", lines_of="hot-x") as bar:
        bar.update(1, 4)
    assert terminal.getvalue() == "hot-x: reading (1/4)\n"


def test_error_in_the_task_removes_the_bar(terminal):
    def work():
        with redirect_stderr(terminal), bar:
            bar.update(1, 4)
            shown(bar)
            raise ValueError("broken")

    with redirect_stderr(terminal):
        bar = Progress("reading")
    with pytest.raises(ValueError, match="broken"):
        work()
    assert bar._bar is None
