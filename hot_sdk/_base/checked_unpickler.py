"""Unpickle within a budget; what a pickle may name is up to a subclass.

Python's own unpickler in C allocates room for as many remembered objects as the highest index in a
pickle, so ten bytes can exhaust all memory; and it hashes any key, of which a few hundred bytes of
nested tuples take forever. This one counts its steps, keeps what is remembered in a dictionary, and
accepts plain keys only. See "Data stream format" in Python's documentation of pickle.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections.abc import Callable, Iterable
from typing import IO, Any

from hot_sdk._base.budget import Budget, Clock, require

_STEPS_PER_CHECK = 1 << 12
_PLAIN: tuple[type, ...] = (str, int, float, bool, bytes, complex, type(None))


class Named:
    """Stands for a function or class; it calls one of ours, and nothing can be stored in it."""

    __slots__ = ("_make",)
    _make: Callable[..., object]

    def __init__(self, make: Callable[..., object]) -> None:
        object.__setattr__(self, "_make", make)

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(name)

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)


class CheckedUnpickler(pickle._Unpickler):
    """An unpickler of bounded steps and time.

    Args:
        stream: The pickle.
        budget: Limits of its content.
        opcodes: Names of the opcodes that it may have, as in pickletools; None for all.
        stand_ins: Types of the objects that a pickle may change, next to lists, dictionaries, sets.
        plain_keys: Types that keys may have, next to Python's own of texts and numbers.
        options: Those of ``pickle.Unpickler``.
    """

    def __init__(
        self,
        stream: IO[bytes],
        budget: Budget,
        *,
        opcodes: frozenset[str] | None = None,
        stand_ins: tuple[type, ...] = (),
        plain_keys: tuple[type, ...] = (),
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(stream, **options)
        self._plain = _PLAIN + plain_keys
        self._stand_ins = stand_ins
        # The unpickler looks each step's function up here; its own table is of the class.
        self.__dict__["dispatch"] = _Steps(_functions_of(opcodes), budget)

    def check(self, target: object, keys: Iterable[object], kinds: tuple[type, ...]) -> None:
        """Check a change of an object.

        Raises:
            ValueError: The object is of another kind, or a key may take forever to hash.
        """
        if type(target) not in kinds and not isinstance(target, self._stand_ins):
            raise ValueError("its pickle changes something that is not its own")
        for key in keys:
            parts = key if type(key) is tuple else (key,)
            if not all(isinstance(part, self._plain) for part in parts):
                raise ValueError("its pickle has a key that is no name")


class _Steps(dict[int, Callable[[Any], None]]):
    """Functions by opcode; counts how often one is looked up."""

    def __init__(self, functions: dict[int, Callable[[Any], None]], budget: Budget) -> None:
        super().__init__(functions)
        self._budget = budget
        self._clock = Clock(budget)
        self._count = 0

    def __getitem__(self, opcode: int) -> Callable[[Any], None]:
        self._count += 1
        if self._count % _STEPS_PER_CHECK == 0:
            require(self._count, self._budget.steps, "steps or more in its pickle")
            self._clock.check()
        function = self.get(opcode)
        if function is None:
            name = _NAMES.get(opcode, f"the opcode {opcode:#x}")
            raise pickle.UnpicklingError(f"its pickle holds {name}, which is not needed")
        return function


_Place = Callable[[Any], tuple[object, Iterable[object]]]


def _checked(function: Callable[[Any], None], place: _Place, *kinds: type) -> Callable[[Any], None]:
    def checked(unpickler: CheckedUnpickler) -> None:
        target, keys = place(unpickler)
        unpickler.check(target, keys, kinds)
        function(unpickler)

    return checked


def _load_bytearray(unpickler: Any) -> None:  # noqa: ANN401
    """Read bytes that can be changed, for which Python's own function fills memory first."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    content = unpickler.read(size)
    if len(content) < size:
        raise EOFError
    unpickler.append(bytearray(content))


def _functions() -> dict[int, Callable[[Any], None]]:
    functions = dict(pickle._Unpickler.dispatch)
    functions[pickle.BYTEARRAY8[0]] = _load_bytearray
    # What each function changes, and by which keys: items since the last mark are on a new stack.
    changes: tuple[tuple[bytes, _Place, tuple[type, ...]], ...] = (
        (pickle.APPEND, lambda it: (it.stack[-2], ()), (list,)),
        (pickle.APPENDS, lambda it: (it.metastack[-1][-1], ()), (list,)),
        (pickle.SETITEM, lambda it: (it.stack[-3], it.stack[-2:-1]), (dict,)),
        (pickle.SETITEMS, lambda it: (it.metastack[-1][-1], it.stack[::2]), (dict,)),
        (pickle.ADDITEMS, lambda it: (it.metastack[-1][-1], it.stack), (set,)),
        (pickle.DICT, lambda it: ({}, it.stack[::2]), (dict,)),
        (pickle.FROZENSET, lambda it: ({}, it.stack), (dict,)),
        (pickle.BUILD, lambda it: (it.stack[-2], ()), ()),
    )
    for opcode, place, kinds in changes:
        functions[opcode[0]] = _checked(functions[opcode[0]], place, *kinds)
    return functions


def _functions_of(names: frozenset[str] | None) -> dict[int, Callable[[Any], None]]:
    if names is None:
        return _FUNCTIONS
    return {opcode: one for opcode, one in _FUNCTIONS.items() if _NAMES[opcode] in names}


_FUNCTIONS = _functions()
_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
