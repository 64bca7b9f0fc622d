"""Code of others that is not followed while coverage is measured."""

import functools
import gc
import sys


def untraced(function):
    """Run a function as it is, but with the tracer of coverage suspended.

    It is called for each line of every package: PyTorch's export takes 1.6 times as long with it.
    The search for garbage, which the many objects of an export set off again and again, waits too.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        tracer = sys.gettrace()
        sys.settrace(None)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            gc.enable()
            sys.settrace(tracer)
            _resume()

    return wrapped


def _resume():
    """Let the tracer see a call, from which on it follows the callers again."""
