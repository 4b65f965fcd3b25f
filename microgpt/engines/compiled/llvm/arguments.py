"""The integers that a kernel is given, by name, and those of the driver, which runs the kernels of a program.

The shape of a kernel lists their names. The caller packs the values by name, and the kernel loads them by name, so
neither side knows a position. A name that is missing or unknown raises KeyError.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, GRADIENTS, INTEGERS, PARAMETERS

# Every kernel gets a pointer to each of these: the spaces of loads, the tables of starts, and its own arguments.
TABLES, ARGUMENTS = "t", "a"
SPACES = (CELLS, PARAMETERS, GRADIENTS, CONSTANTS, INTEGERS, TABLES, ARGUMENTS)

# The arguments of the driver, each a 64-bit integer: pointers, counts, and offsets in the storage of a block.
POINTERS = ("code", *SPACES, "inputs", "integers", "outputs", "results")
FRAME = (
    *POINTERS, "rows", "block_size", "batch", "first_block", "end_block", "input_count", "integer_count",
    "output_count", "seed", "width",
)  # fmt: skip

# A row of `code` is a kernel or a loop over the rows that follow it, whose kernel is 0. The arguments of a kernel begin
# at an offset. Those within a loop of so many turns change by `increments` after each.
ROW = ("kernel", "arguments", "turns", "rows", "increments", "size")


class Frame(ctypes.Structure):
    """The arguments of the driver, by name. A name that is no field raises AttributeError."""

    __slots__ = ()
    _fields_ = tuple((name, ctypes.c_int64) for name in FRAME)


def packed(names: Sequence[str], values: dict[str, Any]) -> list[Any]:
    """The values in the order of their names. Raises KeyError unless each name has one value, and no value is left."""
    if len(names) != len(values) or set(names) != values.keys():
        raise KeyError(f"a kernel takes {sorted(names)}, and was given {sorted(values)}")
    return [values[name] for name in names]


def loaded(builder: ir.IRBuilder, pointer: Any, names: Sequence[str]) -> dict[str, Any]:
    """The packed values behind a pointer, by name, as a kernel sees them."""
    return {name: builder.load(builder.gep(pointer, [ir.IntType(64)(i)])) for i, name in enumerate(names)}
