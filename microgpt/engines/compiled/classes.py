"""Operators of a user's own classes, which are read while a function is recorded.

Python itself calls `__add__` for `a + b`, and `__iter__` for a loop. So as long as a function is recorded, its classes
have such methods as the compiler calls them. All other threads get the methods themselves.
"""

import sys
from abc import ABCMeta
from collections.abc import Callable
from threading import get_ident
from types import FunctionType
from typing import Any, NamedTuple

from microgpt.engines.compiled.source import FOREIGN

NO_OPERATORS = {  # special methods that no operator and no builtin calls
    "__init__", "__new__", "__call__", "__repr__", "__getattr__", "__getattribute__", "__setattr__",
    "__delattr__", "__copy__", "__deepcopy__", "__replace__", "__getstate__", "__setstate__", "__getnewargs__",
    "__reduce__", "__reduce_ex__", "__set_name__", "__init_subclass__", "__class_getitem__", "__get__", "__set__",
    "__delete__", "__annotate__", "__annotate_func__",
}  # fmt: skip
IDENTITY = "__eq__", "__hash__"
PACKAGE = "microgpt."
UNSEEN = {"__next__", "__del__"}  # an iterator is used up, and an object ends somewhere: these are not read


def operators_of(kind: Any) -> list[tuple[type, str, FunctionType]]:
    """The special methods of a class that are Python functions: each with the class that has it, and its name."""
    found = {name: (one, name, read_by(vars(one)[name])) for one in reversed(kind.__mro__) for name in vars(one)}
    return [
        (one, name, function)
        for one, name, function in found.values()
        if isinstance(function, FunctionType) and name.startswith("__") and name not in NO_OPERATORS
    ]


def is_of_user(kind: type) -> bool:
    """Whether a class is one of the user's, and not of a package."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
    return type(kind) in (type, ABCMeta) and not file.startswith(FOREIGN) and not kind.__module__.startswith(PACKAGE)


class Operators:
    """The classes of which operators are read now.

    Args:
        run: calls a function as the compiler does: run(function, record, arguments, options).
        ask: raises an error for an object that stands for many, before it is asked which one it is.
    """

    def __init__(self, record: Any, run: Callable[..., Any], ask: Callable[[Any], None]):
        self.record, self.run, self.ask, self.thread = record, run, ask, get_ident()
        self.classes: dict[Any, bool] = {}
        self.replaced: list[tuple[type, str, FunctionType | None]] = []

    def are_read(self, kind: Any) -> bool:
        """Whether the compiler sees what operators on objects of a class do, from now on."""
        if kind not in self.classes:
            found = operators_of(kind)
            of_user = all(is_of_user(one) for one, _, _ in found)
            self.classes[kind] = of_user and not any(hasattr(kind, name) for name in UNSEEN)
            for one, name, function in found if self.classes[kind] else ():
                if vars(one)[name] is function:
                    self.replaced.append((one, name, function))
                    setattr(one, name, Method(function, self))
        return self.classes[kind]

    def guard(self, kind: Any) -> None:
        """Let objects of a class be asked which they are only where that is known."""
        for name in IDENTITY:
            if getattr(kind, name) is getattr(object, name) and name not in vars(kind):
                self.replaced.append((kind, name, None))
                setattr(kind, name, Identity(name, self))

    def restore(self) -> None:
        """Give the classes their own methods again."""
        while self.replaced:
            one, name, function = self.replaced.pop()
            if function is None:
                delattr(one, name)
            else:
                setattr(one, name, function)


class Method:
    """A special method, in its place in a class."""

    def __init__(self, function: FunctionType, operators: Operators):
        self.function, self.operators = function, operators

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None or get_ident() != self.operators.thread:
            return self.function.__get__(owner, kind)
        return Bound(self, owner)


class Bound(NamedTuple):
    """A special method of an object."""

    method: Method
    owner: Any

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        operators = self.method.operators
        return operators.run(self.method.function, operators.record, (self.owner, *arguments), options)


class Identity:
    """What every object has to tell which one it is, in its place in a class."""

    def __init__(self, name: str, operators: Operators):
        self.method, self.operators = getattr(object, name), operators

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None or get_ident() != self.operators.thread:
            return self.method if owner is None else self.method.__get__(owner)
        return Asked(self, owner)


class Asked(NamedTuple):
    """The same, of an object. The error is raised where it is called: Python hides what is raised before."""

    identity: Identity
    owner: Any

    def __call__(self, *others: Any) -> Any:
        self.identity.operators.ask(self.owner)
        return self.identity.method(self.owner, *others)


def read_by(method: Any) -> Any:
    """The function that is in a class, if another one is in its place now."""
    return method.function if type(method) is Method else method
