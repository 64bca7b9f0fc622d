"""The frame of every command line of the SDK: arguments, logging, errors, exit status."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from hot_sdk._base.validation import closest, nearest
from hot_sdk.errors import HotSDKError, UsageError
from hot_sdk.version import __version__

INTERNAL_ERROR = 1
"""Exit status after an unexpected error."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in a shell."""

OUTPUT_CLOSED = 141
"""Exit status if the reader of standard output left early, as in a shell."""

_LONGEST_TEXT = 300
# Reading or writing an open file fails without its name.
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)
_LOG = logging.getLogger(__name__)


class CommandParser(argparse.ArgumentParser):
    """A parser that raises ``UsageError`` instead of printing and exiting.

    Flags are not abbreviated, so that a new flag cannot change what an old command means. The
    epilog keeps its lines.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError``; called by argparse."""
        raise UsageError(
            f"{message[:1].upper()}{message[1:]}.", hint=f"Run: {self.prog} --help"
        ) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401
        """Raise ``UsageError`` for a value that is not one of the choices; called by argparse."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = nearest(str(value), known)
        name = action.option_strings[0] if action.option_strings else str(action.metavar)
        raise UsageError(
            f"{name} is {str(value)!r}; expected one of {', '.join(known)}.",
            hint=f"Did you mean '{near}'?" if near else f"Run: {self.prog} --help",
        )

    def add_shared_arguments(self) -> None:
        """Add ``--json``, ``--verbose`` and ``--version``, which all command lines have."""
        self.add_argument("--json", action="store_true", help="print JSON on standard output")
        self.add_argument("--verbose", "-v", action="store_true", help="log more to standard error")
        self.add_argument("--version", action="version", version=f"hot-sdk {__version__}")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse arguments.

        Raises:
            UsageError: One is unknown, missing or malformed; the error for an unknown one suggests
                the nearest flag.
        """
        options, unknown = self.parse_known_args(list(arguments))
        if unknown:
            known = [flag for action in self._actions for flag in action.option_strings]
            raise UsageError(f"Unknown argument '{unknown[0]}'.", hint=closest(unknown[0], known))
        return options


def printable(text: str) -> str:
    """Escape what a file could use to move a terminal's cursor, to color or to hide text."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def run_command(
    prog: str,
    arguments: Sequence[str] | None,
    run: Callable[[list[str]], int | None],
    *,
    interrupted: str = "interrupted",
) -> int:
    """Run the body of a command line; every error becomes one line and an exit status.

    Logging goes to standard error, from level INFO with ``-v`` or ``--verbose`` and from WARNING
    without. A ``HotSDKError`` is one line there and its own exit status; with ``--json`` also the
    object ``{"error": {"code", "message", "hint"}}`` on standard output. So is an operating
    system's error about a file, as a ``UsageError``. Any other error is one line and
    ``INTERNAL_ERROR``, with the traceback under ``-v``.

    Args:
        prog: Name of the command, for messages.
        arguments: The arguments after the command's name; None for those of this process.
        run: The body, called with the arguments. Returns an exit status; None stands for 0.
        interrupted: The message after Ctrl-C, such as what was left undone.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_missing_streams()
    logging.basicConfig(
        level=logging.INFO if {"-v", "--verbose"} & set(given) else logging.WARNING,
        format=f"{prog}: %(message)s",
    )
    try:
        try:
            return _status_of(prog, given, run, interrupted)
        finally:
            # Here rather than at the interpreter's exit, which would print its own message; also
            # after --help, which exits by SystemExit.
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return OUTPUT_CLOSED
    except OSError as error:
        _discard_output()
        sys.stderr.write(f"{prog}: standard output cannot be written: {error.strerror}\n")
        return INTERNAL_ERROR


def _status_of(
    prog: str, given: list[str], run: Callable[[list[str]], int | None], interrupted: str
) -> int:
    try:
        return run(given) or 0
    except HotSDKError as error:
        return _report(prog, given, error)
    except KeyboardInterrupt:
        sys.stderr.write(f"{prog}: {interrupted}\n")
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            raise
        if isinstance(error, OSError) and (about_file := _about_file(error)):
            _LOG.info("error of a file", exc_info=error)
            return _report(prog, given, about_file)
        _LOG.info("internal error", exc_info=error)
        text = " ".join(str(error).split())[:_LONGEST_TEXT]
        sys.stderr.write(
            f"{prog}: internal error: {type(error).__name__}: {text} "
            "Run again with -v for the traceback, and report it.\n"
        )
        return INTERNAL_ERROR


def _report(prog: str, given: list[str], error: HotSDKError) -> int:
    """Write an error of ours, and return its exit status."""
    if "--json" in given:
        record = {"code": error.code, "message": error.message, "hint": error.hint}
        sys.stdout.write(json.dumps({"error": record}) + "\n")
    sys.stderr.write(f"{prog}: error: {printable(str(error))}\n")
    return error.exit_status


def _about_file(error: OSError) -> UsageError | None:
    """Return what the operating system says about a file or a disk; None if it is no such error."""
    reason = error.strerror or type(error).__name__
    if error.filename is not None:
        return UsageError(
            f"'{os.fsdecode(error.filename)}' cannot be read or written: {reason}."
            if isinstance(error.filename, (str, bytes, os.PathLike))
            else f"A file cannot be read or written: {reason}.",
            hint="Check the path, its permissions and the room on its disk.",
        )
    if error.errno in _OF_DISKS:
        return UsageError(
            f"A file cannot be read or written: {reason}.",
            hint="Check the disk and the room on it, or choose another folder.",
        )
    return None


def _reader_is_gone() -> bool:
    """Return whether a broken pipe is that of standard output, and not one of the command's."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # Replaced by an object that is no file, or closed.
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _discard_output() -> None:
    """Discard buffered output, which the interpreter would fail to write at its exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def _open_missing_streams() -> None:
    """Replace the None that Python puts in place of a closed standard stream."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
