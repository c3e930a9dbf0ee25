"""Engines in processes that were made by ``os.fork``.

A child has one thread, whatever its parent had: pools of threads are empty there, and locks that
another thread held stay locked for ever.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value of this process, and another one of each child, made when it is first asked for.

    Args:
        value: this process's.
        make: makes a child's; many threads may do so at once, and one of theirs is kept.
    """

    _all: ClassVar[weakref.WeakSet[PerProcess[Any]]] = weakref.WeakSet()

    def __init__(self, value: T, make: Callable[[], T]) -> None:
        self._value: T | None = value
        self._make = make
        self._all.add(self)

    def __call__(self) -> T:
        """This process's value."""
        value = self._value
        if value is None:
            value = self._value = self._make()
        return value

    @classmethod
    def forget(cls) -> None:
        """Let a child make its own; never end the parent's, which would wait for its threads."""
        for each in cls._all:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each._value))
            each._value = None


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=PerProcess.forget)
