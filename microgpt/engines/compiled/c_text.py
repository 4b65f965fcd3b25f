"""A further backend: the program of a loss as one file of C99, to be read, compiled and run by itself.

The file holds `step`, which computes the mean loss of a batch and its gradient; `adam`, which updates the parameters;
and a `main` that trains on examples from standard input. It takes one example after the other. Each nest becomes plain
loops, and each result has a place of its own in memory.
"""

import linecache
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan, prod
from string import Template
from textwrap import shorten, wrap
from typing import Any

import numpy as np

from microgpt.adam import adam
from microgpt.engines.compiled.c_template import HELPERS, TEMPLATE
from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    INTEGERS,
    PARAMETERS,
    Expression,
    Load,
    nodes_of,
)
from microgpt.engines.compiled.listing import Line, described, program_with_sources, source_of, summary
from microgpt.engines.compiled.llvm.run import Program
from microgpt.engines.compiled.nest import Array, Nest, in_loops

WIDTH = 110  # characters of a line, if nothing in it is longer
LONG = 60  # characters of an expression that gets a name of its own
INDICES = ("i", "j", "k", "l")
POINTERS = {CELLS: "r", PARAMETERS: "p", GRADIENTS: "g", CONSTANTS: "c", INTEGERS: "n"}
TAKEN = (  # names that C or the program has
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while _Bool r p g c "
    "n i j k l turn sum largest total batch example integers floats real memset memcpy larger power safe_exp safe_log "
    "safe_power PARAMETERS INTEGERS FLOATS INFINITY NAN"
)
SUM, PRODUCT, ATOM = range(3)  # how tightly the outermost operation of a text binds


def as_c(
    function: Callable[..., Any],
    params: Any,
    *arguments: Any,
    steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    warmup: int = 0,
    weight_decay: float = 0.0,
    grad_clip: float = 0.0,
) -> str:
    """The text of a C program that trains a loss, for such parameters and one batch of such arguments.

    The options are those of its `main`, as in `Schedule`. There each array of parameters begins as random numbers,
    with the mean and the standard deviation of the array given. Raises TypeError unless the loss is a single scalar.
    """
    program = program_with_sources(function, params, *arguments)
    if program.form != 0:
        raise TypeError(f"the loss returned a {type(program.form).__name__}: expected a single scalar")
    arrays = list(named_arrays(params))
    arguments_in_rows = sorted(program.arguments, key=lambda argument: argument[1] == "float")
    inputs = [name + "".join(f"[{n}]" for n in shape) for name, _, shape in arguments_in_rows]
    limits = [str(min(limit, 2**31 - 1)) for limit in program.integer_limits.tolist()]
    step = Writer(program, arrays).step()
    calls = re.sub("//.*", "", step) + HELPERS["safe_power"]  # a comment may name a function of the loss
    return Template(TEMPLATE).substitute(
        summary=summary(program), inputs=" and ".join(inputs) or "nothing", parameters=program.parameters,
        integers=len(limits), floats=program.groups.inputs - len(program.returned), step=step, adam=adam_statements(),
        helpers="".join(text for name, text in HELPERS.items() if f"{name}(" in calls),
        limits="\n".join(array_text("static const int limits", limits or ["0"])),
        arrays="\n".join(array_row(name, array, weight_decay) for name, array in arrays), count=len(arrays),
        steps=steps, batch=batch_size, report=max(1, steps // 20), rate=learning_rate, warmup=warmup, clip=grad_clip,
    )  # fmt: skip


def named_arrays(params: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of parameters in order, each with the keys that lead to it."""
    if isinstance(params, (dict, list, tuple)):
        for key, entry in params.items() if isinstance(params, dict) else enumerate(params):
            yield from named_arrays(entry, f"{name}.{key}" if name else str(key))
    else:
        yield name or "params", np.asarray(params)


def array_row(name: str, array: np.ndarray, weight_decay: float) -> str:
    """Size, mean, standard deviation and weight decay of an array; a mean of 0 if it is by chance another."""
    mean, deviation = (float(array.mean()), float(array.std())) if array.size else (0.0, 0.0)
    mean *= abs(mean) > 4 * deviation / max(1, array.size) ** 0.5
    decay = weight_decay if array.ndim > 1 else 0.0
    return f"    {{{array.size}, {mean:.3g}, {deviation:.3g}, {decay:g}}},  // {name!a}".replace("'", "")


def function_at(path: str, number: int) -> str:
    """The name of the function that begins last before a line of a file."""
    found = [re.match(r"\s*def (\w+)", line) for line in linecache.getlines(path)[:number]]
    return next((match[1] for match in reversed(found) if match), "result")


def shape_of(array: Array) -> tuple[int, ...]:
    """The lengths of an array's axes, as they lie in memory."""
    axes = [i for i, n in enumerate(array.lengths) if n > 1]
    return tuple(array.lengths[i] for i in sorted(axes, key=lambda i: -array.strides[i])) or (1,)


@dataclass
class Region:
    """Numbers that lie one after the other: where they begin in the nests, and where in an array of the C program."""

    start: int
    place: int
    name: str
    shape: tuple[int, ...]


class Writer:
    """Writes the nests of a program as C."""

    def __init__(self, program: Program, arrays: list[tuple[str, np.ndarray]]):
        self.program = program
        self.names = set(TAKEN.split())
        self.tables: dict[Any, str] = {}
        self.lines = described(program)
        self.number: dict[int, int] = {}  # of each instruction that of its nest
        for i, nest in enumerate(program.nests.forward):
            self.number.setdefault(nest.instruction, i)
        parameters = self.regions((name, array.shape) for name, array in arrays)
        integers = self.regions((name, shape) for name, kind, shape in program.arguments if kind == "int")
        cells = self.regions((name, shape) for name, kind, shape in program.arguments if kind == "float")
        cells += self.regions(self.results(), program.groups.inputs - len(program.returned))
        cells.sort(key=lambda region: region.start)
        self.spaces = {PARAMETERS: parameters, GRADIENTS: parameters, INTEGERS: integers, CELLS: cells}

    def regions(self, entries: Iterable[tuple[Any, ...]], place: int = 0) -> list[Region]:
        """A region for each (name, shape), or (name, shape, start in the nests), from a place on."""
        found = []
        for name, shape, *start in entries:
            if prod(shape):
                found.append(Region(start[0] if start else place, place, self.new_name(name), shape))
                place += prod(shape)
        return found

    def new_name(self, name: str) -> str:
        """A C identifier like the name, which is given once."""
        name = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not name or name[0].isdigit() or re.fullmatch(r"([it]|table_|turn)\d+", name):
            name = f"a_{name}"
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def results(self) -> Iterator[tuple[str, tuple[int, ...], int]]:
        """What lies in memory: each result, named after its function and its number, and the gradients of these."""
        nests, groups = self.program.nests, self.program.groups
        called: dict[int, str] = {}
        returned = len(self.program.returned)
        yield "returned", (returned,), groups.inputs - returned
        for nest in nests.forward:
            array = nests.made[nest.instruction]
            if array not in called:
                called[array] = f"{function_at(*source_of(self.program, nest))}_{self.number[nest.instruction]}"
                yield called[array], shape_of(groups.arrays[array]), groups.arrays[array].start
        yield "d_loss", (1,), nests.seed
        yield "d_gathered", nests.gathered.lengths, nests.gathered.start
        for array, cotangent in nests.cotangents.items():
            yield f"d_{called[array]}", shape_of(cotangent), cotangent.start

    def step(self) -> str:
        """The body of `step`."""
        program, nests = self.program, self.program.nests
        body = [f"r[returned + {i}] = n[{place}];" for i, place in enumerate(program.returned)]
        body += ["r[d_loss] = 1.0 / batch;", ""]
        body += self.nests(nests.forward, "safe_")
        body += [f"total += {self.place(Load(*program.groups.outputs[0], ()), [])};", ""]
        body += self.nests(nests.backward)
        used = set(re.findall(r"\b[cnp](?=\[)", re.sub("//.*", "", "\n".join(body))))
        size = sum(prod(region.shape) for region in self.spaces[CELLS])
        integers = "const int *n = integers + INTEGERS * example;" if "n" in used else "(void)integers;"
        return "\n".join([
            *self.places("where the parameters begin in p, and their gradients in g", PARAMETERS),
            *self.places("where the integers of an example begin in n", INTEGERS),
            *self.places("where its floats, all results and their gradients begin in r", CELLS),
            f"    static real r[{size}];  // beyond a bound there are always zeros",
            *self.constants("c" in used),
            *([] if "p" in used else ["    (void)p;"]),
            "    real total = 0.0;",
            "    memset(g, 0, PARAMETERS * sizeof *g);",
            "    for (int example = 0; example < batch; example++) {",
            f"        {integers}",
            "        memcpy(r, floats + FLOATS * example, FLOATS * sizeof *r);",
            *[part for line in body[:-1] for part in broken(f"        {line}")],
            "    }",
            "    return total / batch;",
        ])  # fmt: skip

    def places(self, title: str, space: str) -> list[str]:
        """The names of the regions of a space as constants, one a line."""
        shapes = [" x ".join(map(str, region.shape)) or "1" for region in self.spaces[space]]
        lines = [
            f"        {r.name} = {r.place},  // {shape}" for r, shape in zip(self.spaces[space], shapes, strict=True)
        ]
        return [f"    enum {{  // {title}", *lines, "    };"] if lines else []

    def constants(self, numbers: bool) -> list[str]:
        """The tables of places, and of numbers if they are read."""
        lines = []
        for (space, table), name in self.tables.items():
            starts = [int(start) for start in table.starts]
            regions = [self.region(space, start) for start in starts]
            places = [start - r.start + r.place for start, r in zip(starts, regions, strict=True)]
            lines += array_text(f"static const int {name}", [str(place) for place in places])
        if numbers:
            lines += array_text("static const real c", [number_text(n) for n in self.program.groups.constants])
        return lines

    def region(self, space: str, start: int) -> Region:
        """The region of a space that a number lies in; constants lie where the nests have them."""
        regions = self.spaces.get(space, [Region(0, 0, "0", ())])
        return regions[bisect_right(regions, start, key=lambda region: region.start) - 1]

    def place(self, load: Load, indices: list[str]) -> str:
        """An element of an array."""
        strides = list(load.strides)
        if load.table is not None:
            name = self.tables.setdefault((load.space, load.table), f"table_{len(self.tables)}")
            terms, strides[0] = [f"{name}[{indices[0]}]"], 0
        else:
            region = self.region(load.space, load.start)
            terms = [region.name, *([str(load.start - region.start)] if load.start != region.start else [])]
        moving = [(stride, index) for stride, index in zip(strides, indices, strict=True) if stride and index != "0"]
        terms += [times(stride, index) for stride, index in sorted(moving, key=lambda pair: -abs(pair[0]))]
        if load.chooser is not None and load.step:
            terms.append(times(load.step, self.place(load.chooser, indices)))
        return f"{POINTERS[load.space]}[{' + '.join(terms).replace('+ -', '- ')}]"

    # Nests

    def nests(self, nests: Sequence[Nest], safe: str = "", depth: int = 0) -> list[str]:
        """Nests within so many loops that run turn by turn: each with a title, and an empty line after it."""
        lines = []
        for turns, some in in_loops(nests, depth):
            if turns is not None:
                index, last = f"turn{depth or ''}", turns.length - 1
                steps = f"{last}; {index} >= 0; {index}--" if turns.reverse else f"0; {index} <= {last}; {index}++"
                lines += [f"for (int {index} = {steps}) {{", *indented(self.nests(some, safe, depth + 1)[:-1]), "}", ""]
                continue
            for nest in some:
                i = self.number.get(nest.instruction, -1)
                back = "back through " if nest.backward else ""
                title = f"// {back}{i} {titled(self.lines[i])}" if i >= 0 else "// back from the loss"
                lines += [title, *self.nest(nest, safe), ""]
        return lines

    def nest(self, nest: Nest, safe: str = "") -> list[str]:
        """The loops of a nest, the axes that are summed over inside."""
        summed = set(nest.axes_summed())
        turns = {axis: f"turn{depth or ''}" for depth, (_, axis) in enumerate(nest.within)}
        axes = [i for i, n in enumerate(nest.lengths) if n > 1 and i not in turns]
        order = sorted((i for i in axes if i not in summed), key=lambda i: -abs(nest.target.strides[i]))
        first_summed = len(order) if summed else -1
        order += sorted(summed)
        indices = [turns.get(i, "0") for i in range(len(nest.lengths))]
        for level, axis in enumerate(order):
            indices[axis] = INDICES[level] if level < len(INDICES) else f"i{level}"
        target = self.place(nest.target, indices)
        adds = nest.add or nest.target.space == GRADIENTS
        lines, (value,) = statements([nest.expression], lambda load: self.place(load, indices), safe)
        result = {"sum": "sum", "largest": "largest"}[nest.reduction] if summed else ""
        if result == "largest":
            lines.append(f"largest = larger(largest, {value});")
        else:
            lines.append(f"sum += {value};" if summed else f"{target} {'+=' if adds else '='} {value};")
        for level in range(len(order) - 1, -1, -1):
            lines = loop(nest, order[level], {*order[:level], *turns}, indices, lines)
            if level == first_summed:
                start = "-INFINITY" if result == "largest" else "0.0"
                lines = [f"real {result} = {start};", *lines, f"{target} {'+=' if adds else '='} {result};"]
        declares = any(line.startswith(("real ", "const real ")) for line in lines)
        return ["{", *indented(lines), "}"] if declares else lines


def loop(nest: Nest, axis: int, outer: set[int], indices: list[str], body: list[str]) -> list[str]:
    """A loop over an axis within those outside of it; indices stay below their bounds."""
    index, first, ends, guards = indices[axis], "0", [str(nest.lengths[axis])], []
    bound = nest.bounds[axis]
    if bound is not None and bound.of in outer:
        last = bound.constant + bound.step * (nest.lengths[bound.of] - 1)
        end = affine(bound.constant, bound.step, indices[bound.of])
        ends = [end] if max(bound.constant, last) <= nest.lengths[axis] else [*ends, end]
    for other in outer:
        bound = nest.bounds[other]
        if bound is not None and bound.of == axis:
            if bound.step == 1 and bound.constant <= 1 and first == "0":
                first = affine(1 - bound.constant, 1, indices[other])
            else:
                guards.append(f"if ({indices[other]} >= {affine(bound.constant, bound.step, index)}) continue;")
    condition = " && ".join(f"{index} < {end}" for end in ends)
    head = f"for (int {index} = {first}; {condition}; {index}++)"
    body = guards + body
    tops = [line for line in body if not line.startswith(" ")]
    single = len(tops) == 1 or (len(tops) == 2 and tops[1] == "}")
    return [head, *indented(body)] if single else [f"{head} {{", *indented(body), "}"]


# Text


def titled(line: Line) -> str:
    """What an instruction does and where it comes from; a backslash at the end would go on with the comment."""
    return shorten(f"{line.operation}, {line.place}: {line.code}", WIDTH - 28, placeholder=" ...").rstrip(" \\")


def broken(line: str) -> list[str]:
    """A line as several if it is too long, none of which ends within the brackets of an index. A comment stays one."""
    if line.lstrip().startswith("//"):
        return [line]
    deeper = " " * (len(line) - len(line.lstrip()) + 4)
    whole = re.sub(r"\[[^]]*\]", lambda index: index[0].replace(" ", "\0"), line)
    lines = wrap(whole, WIDTH, subsequent_indent=deeper, break_long_words=False, break_on_hyphens=False)
    return [part.replace("\0", " ") for part in lines] or [""]


def indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def times(factor: int, text: str) -> str:
    return text if factor == 1 else f"-{text}" if factor == -1 else f"{factor} * {text}"


def affine(constant: int, step: int, index: str) -> str:
    """constant + step * index"""
    return times(step, index) + (f" + {constant}" if constant > 0 else f" - {-constant}" if constant else "")


def array_text(declaration: str, entries: list[str]) -> list[str]:
    """An array with its entries, in lines."""
    lines = wrap(", ".join(entries), WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"    {declaration}[{len(entries)}] = {{", *[f"        {line}" for line in lines], "    };"]


def number_text(x: float) -> str:
    return "NAN" if isnan(x) else repr(x).replace("inf", "INFINITY")


def statements(
    roots: list[Expression], leaf: Callable[[Any], str], safe: str = "", names: dict[Expression, str] | None = None
) -> tuple[list[str], list[str]]:
    """Declarations of what is used more than once, or is long, and the texts of some expressions."""
    nodes = dict.fromkeys([node for root in roots for node in nodes_of(root)])
    uses = Counter([argument for node in nodes for argument in node.arguments])
    lines: list[str] = []
    texts: dict[Expression, tuple[str, int]] = {}
    for node in nodes:
        text, binding = node_text(node, [texts[argument] for argument in node.arguments], leaf, safe)
        name = (names or {}).get(node, "")
        several = uses[node] > 1 and node.operation != "constant"
        if name or (node not in roots and (several or len(text) > LONG)):
            name = name or f"t{len(lines) + 1}"
            lines.append(f"const real {name} = {text};")
            text, binding = name, ATOM
        texts[node] = text, binding
    return lines, [texts[root][0] for root in roots]


def node_text(
    node: Expression, arguments: list[tuple[str, int]], leaf: Callable[[Any], str], safe: str
) -> tuple[str, int]:
    """An expression in C, of the texts of its arguments, and how tightly it binds. Factors keep their order."""
    operation, what = node.operation, node.what
    if operation == "load":
        return leaf(what), ATOM
    if operation == "constant":
        return number_text(what), ATOM
    first, second = (arguments * 2)[:2]
    if operation == "+":
        if first[0].startswith("-"):
            first, second = second, first
        a, b = first[0], second[0]
        return (f"{a} - {b[1:]}" if b.startswith("-") else f"{a} + {b}"), SUM
    if operation == "*":
        if first[1] == ATOM and node.arguments[1].operation == "constant":
            first, second = second, first
        if first[0] == "-1.0":
            return f"-{in_brackets(second)}", PRODUCT
        if second[0] == "-1.0":
            return f"-{in_brackets(first, PRODUCT)}", PRODUCT
        left = first[0] if first[1] >= PRODUCT else in_brackets(first)
        return f"{left} * {in_brackets(second)}", PRODUCT
    if operation in ("<", "<="):
        return f"({first[0]} {operation} {second[0]} ? 1.0 : 0.0)", ATOM
    if operation == "where":
        condition = first[0].removesuffix(" ? 1.0 : 0.0)")
        condition = condition if condition != first[0] else f"({first[0]} != 0.0"
        return f"{condition} ? {arguments[1][0]} : {arguments[2][0]})", ATOM
    if operation == "**":
        return f"{safe}power({first[0]}, {number_text(what)})", ATOM
    safe_name = f"safe_{operation}"
    return f"{safe_name if safe_name in HELPERS else operation}({first[0]})", ATOM


def in_brackets(argument: tuple[str, int], least: int = ATOM) -> str:
    """A text, in brackets if it binds less tightly or begins with a sign."""
    text, binding = argument
    return f"({text})" if binding < least or text.startswith("-") else text


class StepNumber:
    """The number of the step, of which Adam takes powers: each gets a name."""

    def __init__(self) -> None:
        self.powers: list[str] = []

    def __rpow__(self, base: float) -> Expression:
        self.powers.append(f"    const real power_{len(self.powers) + 1} = pow({base!r}, step);")
        return Expression("load", (), f"power_{len(self.powers)}")


def adam_statements() -> str:
    """The body of `adam`: the function of the book, called on texts in place of numbers."""
    step = StepNumber()
    given = {name: Expression("load", (), f"{name}[i]") for name in ("parameter", "gradient", "m", "v")}
    rate, decay = (Expression("load", (), name) for name in ("learning_rate", "weight_decay"))
    parameter, m, v = adam(**given, step=step, learning_rate=rate, weight_decay=decay)  # type: ignore[arg-type]
    lines, (new, _, _) = statements([parameter, m, v], str, names={m: "new_m", v: "new_v"})
    body = [*lines, "m[i] = new_m;", "v[i] = new_v;", f"parameter[i] = {new};"]
    return "\n".join([*step.powers, "    for (int i = 0; i < size; i++) {", *[f"        {b}" for b in body], "    }"])
