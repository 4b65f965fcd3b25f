"""A program for people to read: the instructions, what each makes, and the line of the function it comes from.

The listing of a GPT reads like a GPT: pick, add a position, normalize, a matrix product, scores, exp, ... Nobody told
the compiler; all it was given are scalars. It is the best answer there is to why tensors exist.
"""

import linecache
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from math import prod
from pathlib import Path
from typing import Any

from microgpt.engines.compiled.expressions import CELLS, CONSTANTS, PARAMETERS, Expression, loads_of, nodes_of, text_of
from microgpt.engines.compiled.llvm.run import Program
from microgpt.engines.compiled.nest import BATCH, Nest, Turns
from microgpt.engines.trees import argument_names, checked_arguments, checked_parameters, map_arrays

TURNS = "tsr"  # the names of loops that run turn by turn, one within the other
FORMULA = 34  # characters of a formula that is shown


def summary(program: Program) -> str:
    """What the compiler found, in a line."""
    products = sum(nest.product() is not None for nest in program.nests.forward)
    return (
        f"{program.operations:,} scalar operations became {len(program.nests.forward)} array instructions "
        f"({products} matrix product{'' if products == 1 else 's'})"
    )


@dataclass(frozen=True)
class Line:
    """One instruction, for people."""

    operation: str
    rows: int  # how many numbers it makes for one example
    axes: str  # how they lie: the lengths of its axes
    operands: str  # of what it makes each
    place: str  # file and line of the function that most of them come from
    code: str  # that line


class Listing(str):
    """Lines of instructions. A notebook draws them as they stand, and does not break long ones."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f'<pre style="white-space: pre; overflow-x: auto">{escape(self)}</pre>'


def listing(function: Callable[..., Any], params: Any, *arguments: Any) -> Listing:
    """The instructions of a function for such parameters and one batch of such arguments, as lines of text."""
    program = program_with_sources(function, params, *arguments)
    lines = [summary(program), "", f"{'':4}{'operation':16}{'axes':14}{'of what':36}{'from':20}"]
    around: list[Turns] = []
    for i, (nest, line) in enumerate(zip(program.nests.forward, described(program), strict=True)):
        loops = [turns for turns, _ in nest.within]
        for depth, turns in enumerate(loops):
            if turns not in around:
                lines.append(f"{'':4}{'  ' * depth}for {TURNS[depth % len(TURNS)]} < {turns.length}:")
        around = loops
        made = f"{i:3} {'  ' * len(loops) + line.operation:16}{line.axes:13} {line.operands}"
        lines.append(f"{made:69} {line.place:20} {line.code}".rstrip())
    return Listing("\n".join(lines))


def program_with_sources(
    function: Callable[..., Any], params: Any, *arguments: Any, statements: bool = True
) -> Program:
    """The program of a function for such parameters and one batch of such arguments, with the lines it comes from."""
    arrays = checked_arguments(arguments)
    kinds = ["float" if array.dtype.kind == "f" else "int" for array in arrays]
    names = argument_names(function, len(arrays))
    return Program(
        function,
        map_arrays(lambda array: array.shape, checked_parameters(params)),
        [(name, kind, array.shape[1:]) for name, kind, array in zip(names, kinds, arrays, strict=True)],
        with_sources=True,
        statements=statements,
    )


def described(program: Program) -> list[Line]:
    """The instructions of a program that has its sources, in order."""
    lines = []
    for nest in program.nests.forward:
        path, number = source_of(program, nest)
        code = linecache.getline(path, number).split("  #")[0].strip()
        place = f"{Path(path).name}:{number}" if path else ""
        summed = nest.axes_summed()
        apart = {*summed, *(axis for _, axis in nest.within)}
        kept = [n for i, n in enumerate(nest.lengths) if i not in apart and n > 1]
        operation, operands = operation_of(program, nest)
        lines.append(Line(operation, prod(kept), " x ".join(map(str, kept)) or "1", operands, place, code))
    return lines


def instructions_of_rows(program: Program) -> tuple[dict[int, int], dict[int, list[int]]]:
    """For each row of the record the instruction whose result it is; for each row that is no result, because others
    compute it on their way wherever they need it, all of these."""
    nests = program.nests
    number = {nest.instruction: i for i, nest in enumerate(nests.forward)}
    results: dict[int, int] = {}
    on_the_way: dict[int, list[int]] = {}
    for i, instruction in enumerate(program.groups.instructions):
        within = sorted(number[root] for root in nests.roots[i] if root in number)
        for row in instruction.rows:
            if i in number and nests.roots[i] == {i}:
                results[row] = number[i]
            elif within:
                on_the_way[row] = within
    return results, on_the_way


def source_of(program: Program, nest: Nest) -> tuple[str, int]:
    """The line of the function that most of the rows of an instruction come from."""
    assert program.sources is not None
    rows = program.groups.instructions[nest.instruction].rows
    known = [program.sources[row] for row in rows if row < len(program.sources)]
    return Counter(known).most_common(1)[0][0] if known else ("", 0)


def operation_of(program: Program, nest: Nest) -> tuple[str, str]:
    """The name of what an instruction does, and what it computes each number from."""
    instruction, product = program.groups.instructions[nest.instruction], nest.product()
    if product is not None:
        each = " of each" if BATCH in product.outer else ""
        rows, columns = sorted((product.rows, product.columns), key=min) if each else (product.rows, product.columns)
        axes = (rows, product.terms, product.terms, columns)
        sizes = [prod(nest.lengths[i] for i in own if i != BATCH) for own in axes]
        masked = ", masked" if any(nest.bounds) else ""
        return "product", "[{} x {}] · [{} x {}]".format(*sizes) + each + masked
    if instruction.operation == "pick":
        return "pick", f"one of {instruction.choices[0]}"
    if instruction.operation in ("sum", "largest"):
        length = max(nest.lengths[i] for i in nest.axes_summed()) if nest.axes_summed() else 1
        what = formula(nest.expression)
        of = f"{length} · {what}" if nest.bounds[-1] is None else f"up to {length} · {what}"
        return instruction.operation, of
    if instruction.operation == "terms":
        return "compute", formula(nest.expression)
    return instruction.operation if instruction.operation != "pow" else "power", formula(nest.expression)


def formula(expression: Expression) -> str:
    """An expression with x for numbers that were computed and p for parameters; of a long one only how long it is."""
    names = {CELLS: "x", PARAMETERS: "p", CONSTANTS: "constant"}
    operations = sum(bool(node.arguments) for node in nodes_of(expression))
    if operations <= 12:
        found = text_of(expression, lambda load: names[load.space])
        if len(found) <= FORMULA:
            return found
    return f"{operations} operations on {len(loads_of(expression))} arrays"
