"""A program for people to read: the instructions, what each makes, and the line of the function it comes from.

The listing of a GPT reads like a GPT: pick, add a position, normalize, a matrix product, scores, exp, ... Nobody told
the compiler; all it was given are scalars. It is the best answer there is to why tensors exist.
"""

import linecache
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.compiler.front import argument_names
from microgpt.compiler.groups import Instruction
from microgpt.compiler.program import Program
from microgpt.engine import checked_arguments, checked_parameters, map_arrays


def summary(program: Program) -> str:
    """What the compiler found, in a line."""
    instructions = program.layout.instructions
    products = sum(instruction.operation == "product" for instruction in instructions)
    return (
        f"{program.operations:,} scalar operations became {len(instructions)} array instructions, "
        f"{products} of them matrix products"
    )


@dataclass(frozen=True)
class Line:
    """One instruction, for people."""

    operation: str
    rows: int  # how many numbers it makes for one example
    operands: str  # of what it makes each
    place: str  # file and line of the function that most of them come from
    code: str  # that line


def listing(function: Callable[..., Any], params: Any, *arguments: Any) -> str:
    """The instructions of a function for such parameters and one batch of such arguments, as lines of text."""
    program = program_with_sources(function, params, *arguments)
    lines = [summary(program), "", f"{'':4}{'operation':16}{'rows':>6}  {'of what':34}{'from':20}"]
    for i, line in enumerate(described(program)):
        made = f"{i:3} {line.operation:16}{line.rows:6}  {line.operands}"
        lines.append(f"{made:62}{line.place:20} {line.code}")
    return "\n".join(lines)


def program_with_sources(function: Callable[..., Any], params: Any, *arguments: Any) -> Program:
    """The program of a function for such parameters and one batch of such arguments, with the lines it comes from."""
    arrays = checked_arguments(arguments)
    kinds = ["float" if array.dtype.kind == "f" else "int" for array in arrays]
    names = argument_names(function, len(arrays))
    return Program(
        function,
        map_arrays(lambda array: array.shape, checked_parameters(params)),
        [(name, kind, array.shape[1:]) for name, kind, array in zip(names, kinds, arrays, strict=True)],
        with_sources=True,
    )


def described(program: Program) -> list[Line]:
    """The instructions of a program that has its sources, in order."""
    lines = []
    for instruction in program.layout.instructions:
        path, number = source_of(program, instruction)
        code = linecache.getline(path, number).split("  #")[0].strip()
        place = f"{Path(path).name}:{number}" if path else ""
        lines.append(Line(instruction.operation, len(instruction.nodes), operands_of(instruction), place, code))
    return lines


def source_of(program: Program, instruction: Instruction) -> tuple[str, int]:
    """The line of the function that most of the instruction's operations come from."""
    assert program.sources is not None
    return Counter(program.sources[node] for node in instruction.nodes).most_common(1)[0][0]


def operands_of(instruction: Instruction) -> str:
    """What an instruction computes each of its rows from."""
    if instruction.product is not None:
        rows, terms = instruction.product.parameters.shape
        columns = instruction.product.operands.shape[1]
        added = instruction.runs is not None and instruction.runs.table[:, 3:].any()
        return f"[{rows} x {terms}] · [{terms} x {columns}]{' + terms' if added else ''}"
    if instruction.candidates is not None:
        return f"one of {instruction.candidates.shape[1]}"
    if instruction.operation == "pow":
        return f"x ** {instruction.exponent:g}"
    if instruction.operation in ("log", "exp"):
        return f"{instruction.operation}(x)"
    if instruction.runs is None:
        return "a parameter or a constant"
    counts = instruction.runs.table[:, 3:]
    if instruction.operation == "largest":
        return f"the largest of {span(counts[:, 0])}"
    terms_of = [
        f"{span(count)}{name}" for count, name in zip(counts.T, ("x", "x·y", "p·x", "p"), strict=True) if count.any()
    ]
    if instruction.runs.constants.any():
        terms_of.append("constant")
    return " + ".join(terms_of)


def span(counts: np.ndarray) -> str:
    """How many terms: 4, or 1 to 8; nothing for one."""
    low, high = counts.min(), counts.max()
    return ("" if low == 1 else f"{low} ") if low == high else f"{low} to {high} "
