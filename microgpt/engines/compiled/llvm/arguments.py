"""The integers that a kernel is given, by name.

The shape of a kernel lists their names. The caller packs the values by name, and the kernel loads them by name, so
neither side knows a position. A name that is missing or unknown raises KeyError.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir


def packed(names: Sequence[str], values: dict[str, Any]) -> list[Any]:
    """The values in the order of their names. Raises KeyError unless each name has one value, and no value is left."""
    if len(names) != len(values) or set(names) != values.keys():
        raise KeyError(f"a kernel takes {sorted(names)}, and was given {sorted(values)}")
    return [values[name] for name in names]


def loaded(builder: ir.IRBuilder, pointer: Any, names: Sequence[str]) -> dict[str, Any]:
    """The packed values behind a pointer, by name, as a kernel sees them."""
    return {name: builder.load(builder.gep(pointer, [ir.IntType(64)(i)])) for i, name in enumerate(names)}
