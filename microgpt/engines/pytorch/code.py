"""Loop nests as PyTorch code: what runs on whatever PyTorch runs on.

In goes a `Program`, forward and backward; out comes the text of a Python function on tensors, and the constants that
it refers to. Nothing here imports PyTorch.

Every array of the program is a tensor [batch, *its axes]. A load is a view of one: a slice, a split or a permutation
of its axes, brought into the axes of the nest that reads it. An operation of an expression is a call on such views,
written down once for all nests that need it. A sum of products that shares out its axes so is a matrix product; what
lies in no grid is read through a table of places. An axis with a bound has its full length, and is masked.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    INTEGERS,
    PARAMETERS,
    Expression,
    Load,
    loads_of,
    nodes_of,
)
from microgpt.engines.compiled.groups import Array
from microgpt.engines.compiled.nests import Nest

BATCH = -1  # the axis of a nest that is the batch
LARGE = 1e38  # what is larger than a float32 can hold


@dataclass(frozen=True)
class Part:
    """An axis of a nest, or a part of one, as it walks along an axis of an array."""

    axis: int  # of the nest
    length: int
    step: int
    of: int  # the axis of the array


@dataclass
class Layout:
    """How a nest reads an array: its first element, and which axes of the nest walk along which of the array's."""

    first: list[int]
    along: list[list[Part]]  # for each axis of the array, the longest step first
    pieces: dict[int, list[Part]]  # of each axis of the nest, the outermost first


@dataclass
class Tensor:
    """A variable of the code: [batch, *axes of a nest], of length 1 along those that it does not have."""

    name: str
    has: frozenset[int]
    number: float | None = None


@dataclass
class Store:
    """A tensor that holds an array: [batch, *its axes], or only its axes."""

    array: Array
    name: str
    batched: bool = True
    made: bool = False  # whether it holds anything but zeros
    own: bool = False  # whether it may be changed in place
    bounds: tuple[Any, ...] = ()  # of its axes: beyond them it is zero


@dataclass
class Code:
    """The text of a function, and what it refers to by the names k0, k1, ..."""

    text: str
    constants: list[np.ndarray] = field(default_factory=list)


def code_of(program: Any, shapes: list[tuple[int, ...]], with_gradient: bool) -> Code:
    """A program as a function `run(p, floats, integers, seed, k0, ...)` on tensors.

    It takes all parameters, flat; the floats and the integers of the examples, in rows; and for each example its share
    in the mean. It returns the results [outputs, batch] and, with the gradient, that of the weighted sum of the
    first one, flat as the parameters. `shapes` are those of the parameters, in order.
    """
    writer = Writer(program, shapes, with_gradient)
    return Code(writer.text(), writer.constants)


class Writer:
    """Writes the code, nest by nest."""

    def __init__(self, program: Any, shapes: list[tuple[int, ...]], with_gradient: bool):
        self.groups, self.nests = program.groups, program.nests
        self.with_gradient = with_gradient
        self.constants: list[np.ndarray] = []
        self.numbers: dict[bytes, str] = {}
        self.lines: list[tuple[str, str]] = []  # a variable and its value; "" and a statement
        self.known: dict[Any, Tensor] = {}  # what has been computed: by its text, or by expression and axes
        self.read: dict[str, set[int]] = {}  # the arrays that a variable was made of, by their starts
        self.count = 0
        g, n = self.groups, self.nests
        cells = [Store(Array(0, (g.inputs,), (1,)), "floats", made=True)] if g.inputs else []
        for i, (array, kept) in enumerate(zip(g.arrays, n.kept, strict=True)):
            if kept:
                cells.append(Store(array, f"x{array.start}", bounds=self.bounds_of(i)))
        cells.append(Store(Array(n.seed, (), ()), "seed", made=True))
        for start, i in zip(n.gradient_starts, n.gradient_arrays, strict=True):
            array = g.arrays[i]
            cells.append(Store(replace(array, start=start), f"x{start}", bounds=self.bounds_of(i)))
        for start, size in n.waste:
            cells.append(Store(Array(start, (size,), (1,)), "waste"))
        parameters, gradients, start = [], [], 0
        for shape in shapes:
            strides = tuple(prod(shape[i + 1 :]) for i in range(len(shape)))
            if prod(shape):
                parameters.append(Store(Array(start, shape, strides), f"p{start}", False, made=True))
                gradients.append(Store(Array(start, shape, strides), f"g{start}", False))
            start += prod(shape)
        self.size = start
        whole = [Store(Array(0, (len(program.integers),), (1,)), "integers", made=True)]
        self.stores = {
            CELLS: sorted(cells, key=lambda store: store.array.start), PARAMETERS: parameters,
            GRADIENTS: gradients, INTEGERS: whole,
        }  # fmt: skip
        self.starts = {space: [s.array.start for s in stores] for space, stores in self.stores.items()}
        self.zeroed: set[int] | None = None  # while these are being found
        self.zeroed = self.arrays_to_be_zero([*n.forward, *(n.backward if with_gradient else [])])
        self.scattered = Store(Array(0, (self.size,), (1,)), "scattered", False)  # gradients that lie in no grid
        for nest in [*n.forward, *(n.backward if with_gradient else [])]:
            self.nest(nest)
        self.finish()

    def bounds_of(self, array: int) -> tuple[Any, ...]:
        instruction = self.groups.instructions[self.nests.makers[array][-1]]
        return instruction.bounds[: len(self.groups.arrays[array].lengths)]

    # The text

    def put(self, name: str, text: str, *arrays: int) -> None:
        self.lines.append((name, text))
        found = set(arrays)
        for other in names_in(text):
            found |= self.read.get(other, set())
        self.read[name] = found

    def variable(self, text: str, has: frozenset[int]) -> Tensor:
        """A variable with this value: the one that has it already, if there is one."""
        if text not in self.known:
            self.count += 1
            name = f"v{self.count}"
            self.put(name, text)
            self.known[text] = Tensor(name, has)
        return self.known[text]

    def forget(self, store: Store) -> None:
        """What was made of an array no longer holds. Of what has no batch, gradients of parameters, nothing is made."""
        if store.batched:
            start = store.array.start
            self.known = {key: t for key, t in self.known.items() if start not in self.read.get(t.name, ())}

    def constant(self, array: np.ndarray) -> str:
        key = str((array.dtype, array.shape)).encode() + array.tobytes()
        if key not in self.numbers:
            self.numbers[key] = f"k{len(self.constants)}"
            self.constants.append(array)
        return self.numbers[key]

    def text(self) -> str:
        """The whole function; a variable is deleted where nothing more reads it."""
        arguments = ["p", "floats", "integers", "seed", *(f"k{i}" for i in range(len(self.constants)))]
        last: dict[str, int] = {}
        for i, (name, text) in enumerate(self.lines):
            for used in names_in(f"{name} {text}"):
                last[used] = i
        gone: dict[int, list[str]] = {}
        for name, i in last.items():
            if name not in arguments and i < len(self.lines) - 1:
                gone.setdefault(i, []).append(name)
        written = [f"def run({', '.join(arguments)}):", "    batch = seed.shape[0]"]
        for i, (name, text) in enumerate(self.lines):
            written.append(f"    {name} = {text}" if name else f"    {text}")
            if i in gone:
                written.append(f"    del {', '.join(gone[i])}")
        return "\n".join(written) + "\n"

    # Reading

    def store_of(self, load: Load) -> Store:
        return self.stores[load.space][bisect_right(self.starts[load.space], load.start) - 1]

    def loaded(self, load: Load, lengths: tuple[int, ...]) -> Tensor:
        """A load over the axes of a nest."""
        if load.chooser is not None:
            return self.chosen(load, lengths)
        if load.space == CONSTANTS:
            array = np.array(self.groups.constants)[cells_of(load, lengths)]
            has = frozenset(i for i, n in enumerate(array.shape) if n > 1)
            return Tensor(self.constant(array[None]), has)
        store = self.store_of(load)
        layout = None if load.table is not None else layout_of(load, lengths, store.array)
        return self.through_table(load, lengths) if layout is None else self.view(store, layout, lengths)

    def view(self, store: Store, layout: Layout, lengths: tuple[int, ...]) -> Tensor:
        """An array, or a part of it, over the axes of a nest."""
        self.prepare(store)
        text, parts = part_text(store, layout)
        axes = [part.axis for part in parts]
        shift = int(store.batched)
        order = sorted(range(len(parts)), key=lambda i: (axes[i], -parts[i].step * store.array.strides[parts[i].of]))
        if order != sorted(order):
            text += f".permute({', '.join(map(str, [0] * shift + [i + shift for i in order]))})"
        has = frozenset(axes) | ({BATCH} if store.batched else set())
        if len(set(axes)) < len(axes):
            sizes = [lengths[i] if i in has else 1 for i in range(len(lengths))]
            text += f".reshape({', '.join(map(str, ['batch' if store.batched else 1, *sizes]))})"
        elif len(axes) < len(lengths) or not store.batched:
            wanted = [":" if i in has else "None" for i in (BATCH, *range(len(lengths)))]
            while wanted and wanted[-1] == ":":
                wanted.pop()
            text += f"[{', '.join(wanted)}]"
        return self.variable(text, has) if text != store.name else Tensor(text, has)

    def prepare(self, store: Store) -> None:
        """Make sure that the variable of an array is there: parameters are cut out, what nothing wrote to is zero."""
        if store.name in self.read or store.name in ("floats", "integers", "seed"):
            self.read.setdefault(
                store.name, {store.array.start} if store.batched and store.name != "integers" else set()
            )
            return
        if store.name.startswith("p"):
            shape, start = store.array.lengths, store.array.start
            self.put(store.name, f"p[{start}:{start + prod(shape)}].view({shape})")
            return
        sizes = [*(["batch"] if store.batched else []), *map(str, store.array.lengths)]
        self.put(store.name, f"seed.new_zeros(({', '.join(sizes)}{',' if len(sizes) == 1 else ''}))", *self.key(store))
        store.own = True

    def key(self, store: Store) -> tuple[int, ...]:
        return (store.array.start,) if store.batched else ()

    def pool(self, space: str, cells: np.ndarray) -> tuple[str, np.ndarray, bool]:
        """All arrays in which some cells lie, side by side; the places of the cells in it; whether it has a batch."""
        stores = self.stores[space]
        which = np.searchsorted(self.starts[space], cells, side="right") - 1
        places = np.zeros(cells.shape, np.int64)
        texts, before = [], 0
        for i in np.unique(which):
            store = stores[int(i)]
            self.prepare(store)
            inside = which == i
            places[inside] = before + places_in(store.array, cells[inside])
            before += store.array.size
            one_axis = len(store.array.lengths) == 1
            texts.append(store.name if one_axis else f"{store.name}.reshape({'batch, -1' if store.batched else '-1'})")
        batched = stores[0].batched
        axis = 1 if batched else 0
        return texts[0] if len(texts) == 1 else f"torch.cat([{', '.join(texts)}], {axis})", places, batched

    def through_table(self, load: Load, lengths: tuple[int, ...]) -> Tensor:
        """A load that lies in no grid."""
        cells = cells_of(load, lengths)
        text, places, batched = self.pool(load.space, cells)
        flat = self.variable(text, frozenset())
        has = frozenset(i for i, n in enumerate(cells.shape) if n > 1) | ({BATCH} if batched else set())
        table = self.constant(places if batched else places[None])
        return self.variable(f"{flat.name}[{':, ' if batched else ''}{table}]", has)

    def chosen(self, load: Load, lengths: tuple[int, ...]) -> Tensor:
        """What an integer of each example chooses from."""
        assert load.chooser is not None
        last = len(lengths)
        candidates = replace(
            load, chooser=None, step=0, choices=1, strides=(*load.strides, load.step)
        )  # with an axis of all choices
        whole = self.loaded(candidates, (*lengths, load.choices))
        index = self.loaded(load.chooser, lengths)
        own, by = whole.has - {last}, index.has
        if last not in whole.has:
            return self.variable(f"{whole.name}[..., 0]", own)
        has = own | by
        if own & by:
            sizes = [self.size_of(i, lengths) if i in has else "1" for i in (BATCH, *range(last))]
            rows = ", ".join(sizes)
            picked = (
                f"{whole.name}.expand({rows}, {load.choices}).gather(-1, {index.name}.unsqueeze(-1).expand({rows}, 1))"
            )
            return self.variable(f"{picked}.squeeze(-1)", has)
        mine, its = sorted(own), sorted(by)
        order = [last + 1, *(i + 1 for i in mine), *(i + 1 for i in range(BATCH, last) if i not in own)]
        rows = f"{whole.name}.permute({', '.join(map(str, order))})"
        rows += f".reshape({', '.join([str(load.choices), *(self.size_of(i, lengths) for i in mine)])})"
        text = f"{self.variable(rows, frozenset()).name}.index_select(0, {index.name}.reshape(-1))"
        both = [*its, *mine]
        text += f".reshape({', '.join(self.size_of(i, lengths) for i in both)})"
        if both != sorted(both):
            text += f".permute({', '.join(str(both.index(i)) for i in sorted(both))})"
        wanted = [":" if i in has else "None" for i in (BATCH, *range(last))]
        return self.variable(f"{text}[{', '.join(wanted)}]", has)

    def size_of(self, axis: int, lengths: tuple[int, ...]) -> str:
        return "batch" if axis == BATCH else str(lengths[axis])

    # Computing

    def computed(self, expression: Expression, lengths: tuple[int, ...], checked: bool) -> Tensor:
        """An expression over the axes of a nest."""
        done: dict[int, Tensor] = {}
        uses: dict[int, int] = {}
        for node in nodes_of(expression):
            for argument in node.arguments:
                uses[id(argument)] = uses.get(id(argument), 0) + 1
        fused = {
            id(a)
            for node in nodes_of(expression) if node.operation == "+"
            for a in node.arguments[:2] if a.operation == "*" and uses[id(a)] == 1
        }  # fmt: skip
        for node in nodes_of(expression):
            key = (id(node), lengths, checked)
            if key in self.known:
                done[id(node)] = self.known[key]
                continue
            if id(node) in fused and not all(done[id(a)].number is not None for a in node.arguments):
                continue  # part of the sum that it stands in
            arguments = [done.get(id(a)) for a in node.arguments]
            if node.operation == "load":
                result = self.loaded(node.what, lengths)
            elif node.operation == "constant":
                result = Tensor(repr(node.what), frozenset(), node.what)
                if not abs(node.what) < LARGE:  # it may be an infinity in the precision of the tensors
                    result = Tensor(self.constant(np.array([node.what])), frozenset())
            elif None in arguments:
                result = self.fused_sum(node, done)
            else:
                result = self.operation(node, arguments, checked)  # type: ignore[arg-type]
            self.known[key] = done[id(node)] = result
        return done[id(expression)]

    def fused_sum(self, node: Expression, done: dict[int, Tensor]) -> Tensor:
        """a + b * c in one pass."""
        first, second = node.arguments
        if id(second) in done:
            first, second = second, first
        x, y = (done[id(a)] for a in second.arguments)
        has = x.has | y.has
        if id(first) in done:
            z = done[id(first)]
        else:
            b, c = (done[id(a)] for a in first.arguments)
            z = self.variable(f"{b.name} * {c.name}", b.has | c.has)
        if x.number is not None:
            x, y = y, x
        if y.number is not None:
            if z.number is not None:
                return self.variable(f"{x.name} * {y.name} + {z.name}", has)
            return self.variable(f"torch.add({z.name}, {x.name}, alpha={y.name})", z.has | has)
        if z.number is not None:
            return self.variable(f"{x.name} * {y.name} + {z.name}", has)
        return self.variable(f"torch.addcmul({z.name}, {x.name}, {y.name})", z.has | has)

    def operation(self, node: Expression, arguments: list[Tensor], checked: bool) -> Tensor:
        has = frozenset[int]().union(*(a.has for a in arguments))
        names = [a.name for a in arguments]
        if all(a.number is not None for a in arguments):
            names[0] = self.variable(f"seed.new_full((1,), {names[0]})", frozenset()).name
        x = names[0]
        if node.operation in ("+", "*"):
            return self.variable(f"{x} {node.operation} {names[1]}", has)
        if node.operation in ("<", "<="):
            return self.variable(f"({x} {node.operation} {names[1]}).to(seed.dtype)", has)
        if node.operation == "exp":
            return self.variable(f"torch.exp({x}).clamp(max=LARGEST)", has)
        if node.operation == "log":
            return self.variable(f"torch.log(torch.where({x} > 0, {x}, NAN))", has)
        return self.power(arguments[0], x, node, has, checked)

    def power(self, argument: Tensor, x: str, node: Expression, has: frozenset[int], checked: bool) -> Tensor:
        """x ** k. If checked, NaN where the power is not finite or, with the gradient, its derivative is not."""
        k = node.what
        y = self.variable(power_text(x, k), has)
        if not checked or k == 0 or (k < 0 and at_least_one(node.arguments[0])):
            return y
        if (k > 0 and k == int(k)) or not self.with_gradient:  # or the derivative is of no interest
            return self.variable(f"torch.add({y.name}, {y.name}, alpha=0)", has)
        test = self.variable(power_text(x, k - 1), has)
        return self.variable(f"torch.add(torch.add({y.name}, {y.name}, alpha=0), {test.name}, alpha=0)", has)

    def masked(self, value: Tensor, nest: Nest, otherwise: str = "0.0") -> Tensor:
        """What it is within the bounds of a nest; beyond them something else."""
        mask, has = self.mask(nest)
        if mask is None:
            return value
        if value.number is not None:
            value = self.variable(f"seed.new_full((1,), {value.name})", frozenset())
        return self.variable(f"torch.where({mask}, {value.name}, {otherwise})", value.has | has)

    def mask(self, nest: Nest) -> tuple[str | None, frozenset[int]]:
        texts, has = [], set[int]()
        for axis, of, constant, step in active_bounds(nest):
            own, other = (self.index(i, nest.lengths) for i in (axis, of))
            texts.append(f"({own} < {constant} + {step} * {other})")
            has |= {axis, of}
        return (self.variable(" & ".join(texts), frozenset()).name if texts else None), frozenset(has)

    def index(self, axis: int, lengths: tuple[int, ...]) -> str:
        """The index of an axis of a nest."""
        shape = ", ".join(str(n) if i == axis else "1" for i, n in enumerate((1, *lengths), -1))
        return self.variable(f"torch.arange({lengths[axis]}, device=seed.device).reshape({shape})", frozenset()).name

    def is_zero_beyond(self, expression: Expression, nest: Nest) -> bool:
        """Whether this is a load of an array with the very bounds of the nest, and zeros beyond them."""
        if expression.operation != "load":
            return False
        load = expression.what
        if load.space != CELLS or load.table is not None or load.chooser is not None:
            return False
        store = self.store_of(load)
        layout = layout_of(load, nest.lengths, store.array)
        if layout is None:
            return False
        for axis, of, constant, step in active_bounds(nest):
            own, other = layout.pieces.get(axis, []), layout.pieces.get(of, [])
            if len(own) != 1 or len(other) != 1 or own[0].step != 1 or other[0].step != 1:
                return False
            bound = store.bounds[own[0].of] if store.bounds else None
            if bound is None or (bound.of, bound.constant, bound.step) != (other[0].of, constant, step):
                return False
            if layout.first[own[0].of] or layout.first[other[0].of]:
                return False
        return self.zeroed is None or store.array.start in self.zeroed

    def arrays_to_be_zero(self, nests: list[Nest]) -> set[int]:
        """The starts of those arrays with bounds of which some sum takes for granted that they are zero beyond."""
        found = set()
        for nest in nests:
            if nest.reduction == "sum" and nest.axes_summed() and active_bounds(nest):
                factors = factors_of(nest.expression)[0]
                found |= {self.store_of(f.what).array.start for f in factors if self.is_zero_beyond(f, nest)}
        return found

    # Nests

    def nest(self, nest: Nest) -> None:
        target = nest.target
        if target.space == CELLS and target.table is None and self.store_of(target).name == "waste":
            return
        zero = nest.expression.operation == "constant" and nest.expression.what == 0
        if zero and target.space == CELLS and not nest.add and not self.store_of(target).made:
            return  # so it is before anything is written
        checked = not nest.backward
        summed = frozenset(i for i in nest.axes_summed() if i or target.table is None)
        if target.space == GRADIENTS and target.chooser is None:
            summed |= {BATCH}
        if nest.reduction == "largest":
            value = self.computed(nest.expression, nest.lengths, checked)
            if summed:
                value = self.masked(value, nest, "-INFINITY")
                over = tuple(sorted(i + 1 for i in summed & value.has))
                if over:
                    value = self.variable(f"{value.name}.amax({over}, keepdim=True)", value.has - summed)
            elif self.wants_mask(nest):
                value = self.masked(value, nest)
        else:
            product = self.product(nest, summed, checked)
            if product is None:
                value = self.computed(nest.expression, nest.lengths, checked)
                if (summed or self.wants_mask(nest)) and not self.is_zero_beyond(nest.expression, nest):
                    value = self.masked(value, nest)
                value = self.sum(value, summed, nest.lengths)
            else:
                value = product
        self.store(nest, value)

    def sum(self, value: Tensor, summed: frozenset[int], lengths: tuple[int, ...]) -> Tensor:
        times = ["batch"] if BATCH in summed - value.has else []
        number = prod(lengths[i] for i in summed - value.has if i != BATCH)
        times += [str(number)] if number != 1 else []
        if value.number is not None and times:
            value = self.variable(f"seed.new_full((1,), {value.name})", frozenset())
        over = tuple(sorted(i + 1 for i in summed & value.has))
        if over:
            value = self.variable(f"{value.name}.sum({over}, keepdim=True)", value.has - summed)
        return self.variable(" * ".join([value.name, *times]), value.has) if times else value

    def product(self, nest: Nest, summed: frozenset[int], checked: bool) -> Tensor | None:
        """A nest that is a matrix product: the factors of its sum fall into two, each with axes of its own."""
        if not summed or nest.expression.operation != "*":
            return None
        factors, constant = factors_of(nest.expression)
        groups: dict[frozenset[int], list[Expression]] = {}
        for factor in factors:
            groups.setdefault(self.axes_of(factor, nest.lengths), []).append(factor)
        for small in sorted(groups, key=len):
            larger = [other for other in groups if small < other]
            if len(groups) > 2 and larger:
                groups[min(larger, key=len)] += groups.pop(small)
        if len(groups) != 2:
            return None
        kept = frozenset(range(BATCH, len(nest.lengths))) - summed
        (a_axes, a), (b_axes, b) = groups.items()
        inner = (a_axes & b_axes) - kept
        if not inner or not (a_axes - b_axes) & kept or not (b_axes - a_axes) & kept:
            return None
        if not (a_axes - b_axes) <= kept or not (b_axes - a_axes) <= kept:
            return None
        which = None  # of the two factors is to be masked; the product, if none is
        for axis, of, _, _ in active_bounds(nest):
            if axis in summed or of in summed:
                if which is not None or not ({axis, of} <= a_axes or {axis, of} <= b_axes):
                    return None
                which = 0 if {axis, of} <= a_axes else 1
        if which is not None and len(active_bounds(nest)) > 1:
            return None
        tensors = []
        for i, group in enumerate((a, b)):
            expression = group[0]
            for factor in group[1:]:
                expression = self.nests.shared(expression * factor)
            tensor = self.computed(expression, nest.lengths, checked)
            if which == i and not self.is_zero_beyond(expression, nest):
                tensor = self.masked(tensor, nest)
            if tensor.has != (a_axes, b_axes)[i]:
                return None
            tensors.append(tensor)
        value = self.matrix_product(tensors[0], tensors[1], kept, nest)
        if constant != 1.0:
            value = self.variable(f"{value.name} * {constant!r}", value.has)
        return self.masked(value, nest) if which is None and self.wants_mask(nest) else value

    def wants_mask(self, nest: Nest) -> bool:
        """Whether a nest that keeps all its bounded axes is to write zeros beyond the bounds."""
        target = nest.target
        plain = target.space == CELLS and target.table is None and target.chooser is None and not nest.add
        return not plain or not self.store_of(target).bounds or self.store_of(target).array.start in (self.zeroed or ())

    def axes_of(self, expression: Expression, lengths: tuple[int, ...]) -> frozenset[int]:
        found: set[int] = set()
        for load in loads_of(expression):
            for one in (load, load.chooser):
                if one is None:
                    continue
                found |= {i for i, n in enumerate(lengths) if n > 1 and (one.strides[i] or (one.table and i == 0))}
                if one.space in (CELLS, INTEGERS):
                    found.add(BATCH)
        return frozenset(found)

    def matrix_product(self, a: Tensor, b: Tensor, kept: frozenset[int], nest: Nest) -> Tensor:
        place = {axis: i for i, axis in enumerate(self.order_of_target(nest))}

        def ordered(axes: frozenset[int]) -> list[int]:
            return sorted(axes, key=lambda axis: place.get(axis, axis))

        if min(place.get(i, 0) for i in b.has - a.has) < min(place.get(i, 0) for i in a.has - b.has):
            a, b = b, a
        outer, inner = ordered(a.has & b.has & kept), sorted((a.has & b.has) - kept)
        rows, columns = ordered(a.has - b.has), ordered(b.has - a.has)

        def matrix(t: Tensor, first: list[int], second: list[int]) -> str:
            order = [*outer, *first, *second]
            rest = [i for i in range(BATCH, len(nest.lengths)) if i not in order]
            text = t.name
            if order != sorted(order):
                text += f".permute({', '.join(str(i + 1) for i in [*order, *rest])})"
            shape = [*([sizes(outer)] if outer else []), sizes(first), sizes(second)]
            return self.variable(f"{text}.reshape({', '.join(shape)})", frozenset()).name

        def sizes(axes: list[int]) -> str:
            number = prod(nest.lengths[i] for i in axes if i != BATCH)
            if BATCH not in axes:
                return str(number)
            return f"batch * {number}" if number != 1 else "batch"

        left, right = matrix(a, rows, inner), matrix(b, inner, columns)
        text = f"torch.{'bmm' if outer else 'mm'}({left}, {right})"
        order = [*outer, *rows, *columns]
        has = frozenset(order)
        text += f".reshape({', '.join(self.size_of(i, nest.lengths) for i in order)})"
        if order != sorted(order):
            text += f".permute({', '.join(str(order.index(i)) for i in sorted(order))})"
        wanted = [":" if i in has else "None" for i in range(BATCH, len(nest.lengths))]
        while wanted and wanted[-1] == ":":
            wanted.pop()
        return self.variable(f"{text}[{', '.join(wanted)}]" if wanted else text, has)

    def order_of_target(self, nest: Nest) -> list[int]:
        """The axes of a nest in the order in which they lie in the tensor that it writes to."""
        if nest.target.table is None and nest.target.chooser is None:
            store = self.store_of(nest.target)
            layout = layout_of(nest.target, nest.lengths, store.array)
            if layout is not None:
                return [BATCH, *dict.fromkeys(part.axis for parts in layout.along for part in parts)]
        return list(range(BATCH, len(nest.lengths)))

    # Writing

    def store(self, nest: Nest, value: Tensor) -> None:
        target = nest.target
        if target.chooser is not None or target.table is not None:
            self.scatter(nest, value)
            return
        store = self.store_of(target)
        layout = layout_of(target, nest.lengths, store.array)
        if layout is None:
            self.scatter(nest, value)
            return
        parts = [part for along in layout.along for part in along]
        moving = frozenset(part.axis for part in parts) | ({BATCH} if store.batched else set())
        text = self.in_parts(value, moving, parts, layout, nest.lengths)
        full = prod(part.length for part in parts) == store.array.size
        if full:
            shape = ", ".join([*(["batch"] if store.batched else []), *map(str, store.array.lengths)])
            own_shape = [part.length for part in parts] == list(store.array.lengths)
            if not own_shape:
                text += f".reshape({shape})"
            if nest.add and store.made:
                text = f"{store.name} + {text}"
            self.rename(store)
            self.put(store.name, text, *self.key(store))
            store.own = False
        else:
            if store.made and not store.own:
                old = store.name
                self.rename(store)
                self.put(store.name, f"{old}.clone()", *self.key(store))
            self.prepare(store)
            store.own = True
            self.forget(store)
            place = part_text(store, layout)[0]
            self.lines.append(("", f"{place}.{'add_' if nest.add else 'copy_'}({text})"))
        store.made = True

    def rename(self, store: Store) -> None:
        """Give an array a new variable: what was made of the old one no longer holds."""
        if store.name in self.read:
            self.forget(store)
            stem, _, version = store.name.partition("_")
            store.name = f"{stem}_{int(version or 1) + 1}"

    def in_parts(
        self, value: Tensor, moving: frozenset[int], parts: list[Part], layout: Layout, lengths: tuple[int, ...]
    ) -> str:
        """A value over the axes of a nest as one over the parts of them, in the order of the array."""
        batched = BATCH in moving
        text = value.name
        if value.number is not None:
            value = self.variable(f"seed.new_full((1,), {text})", frozenset())
            text = value.name
        if not moving <= value.has:
            sizes = [self.size_of(i, lengths) if i in moving else "1" for i in range(BATCH, len(lengths))]
            text += f".expand({', '.join(sizes)})"
        own = [i for i in range(len(lengths)) if i in moving]
        if any(len(layout.pieces[i]) > 1 for i in own):
            sizes = [str(part.length) for i in own for part in layout.pieces[i]]
            text += f".reshape({', '.join([*(['batch'] if batched else []), *sizes])})"
        elif len(own) < len(lengths) or not batched:
            wanted = [":" if i in moving else "0" for i in range(BATCH, len(lengths))]
            text += f"[{', '.join(wanted)}]"
        flat = [part for i in own for part in layout.pieces[i]]
        order = [next(i for i, other in enumerate(flat) if other is part) for part in parts]
        if order != sorted(order):
            text += f".permute({', '.join(map(str, [0] * batched + [i + batched for i in order]))})"
        return text

    def scatter(self, nest: Nest, value: Tensor) -> None:
        """Write where integers choose, or where there is no grid."""
        target, lengths = nest.target, nest.lengths
        rows = self.rows_of_target(nest, value)
        if rows is not None:
            self.lines.append(("", rows))
            return
        index = None if target.chooser is None else self.loaded(target.chooser, lengths)
        own = [i for i, n in enumerate(lengths) if n > 1 and (target.strides[i] or (target.table and i == 0))]
        batched = target.space == CELLS
        axes = sorted({*own, *(index.has if index else ()), *([BATCH] if batched else [])})
        value = self.sum(value, value.has - set(axes), lengths) if value.has - set(axes) else value
        cells = cells_of(replace(target, chooser=None), lengths)
        if batched:
            stores = [
                self.stores[CELLS][i]
                for i in np.unique(np.searchsorted(self.starts[CELLS], cells, side="right") - 1).tolist()
            ]
            store = next(s for s in stores if s.name != "waste")
        else:
            store = self.scattered
        if target.chooser is not None:  # the cell of every choice, then the one that is chosen
            cells = cells[..., None] + target.step * np.arange(target.choices)
        inside = (cells >= store.array.start) & (cells < store.array.start + store.array.size)
        places = np.where(inside, places_in(store.array, np.where(inside, cells, store.array.start)), store.array.size)
        table = self.constant(places[None])
        shape = ", ".join(self.size_of(i, lengths) if i in axes else "1" for i in range(BATCH, len(lengths)))
        if index is not None:
            place = f"{table}.expand({shape}, -1).gather(-1, {index.name}.unsqueeze(-1).expand({shape}, 1)).squeeze(-1)"
        else:
            place = f"{table}.expand({shape})"
        flat = "batch, -1" if batched else "-1"
        size = f"batch, {store.array.size + 1}" if batched else str(store.array.size + 1)
        if value.number is not None:
            value = self.variable(f"seed.new_full((1,), {value.name})", frozenset())
        value_text = f"{value.name}.expand({shape}).reshape({flat})"
        self.count += 1
        more = f"v{self.count}"
        self.put(
            more,
            f"seed.new_zeros(({size},)).scatter_add_({1 if batched else 0}, {place}.reshape({flat}), {value_text})",
        )
        lengths_of = ", ".join([*(["batch"] if batched else []), *map(str, store.array.lengths)])
        more = f"{more}[{':, ' if batched else ''}:{store.array.size}].reshape({lengths_of})"
        if store.made and not nest.add:
            self.count += 1
            written = f"v{self.count}"
            self.put(written, f"{self.constant(places_written(places, store.array))}")
            more = f"torch.where({written}, {more}, {store.name})"
        elif store.made:
            more = f"{store.name} + {more}"
        self.rename(store)
        self.put(store.name, more, *self.key(store))
        store.made, store.own = True, False

    def rows_of_target(self, nest: Nest, value: Tensor) -> str | None:
        """The statement that adds rows to those of a parameter's gradient that integers choose; None if it is none."""
        target, lengths = nest.target, nest.lengths
        if target.space != GRADIENTS or target.chooser is None or target.table is not None or not nest.add:
            return None
        store, last = self.store_of(target), len(lengths)
        every = replace(target, chooser=None, step=0, choices=1, strides=(*target.strides, target.step))
        layout = layout_of(every, (*lengths, target.choices), store.array)
        if layout is None or len(layout.pieces.get(last, [])) != 1 or layout.pieces[last][0].step != 1:
            return None
        axis = layout.pieces[last][0].of
        parts = [part for along in layout.along for part in along]
        plain = all(len(along) == 1 for along in layout.along)
        if not plain or any(layout.first) or prod(part.length for part in parts) != store.array.size:
            return None
        index = self.loaded(target.chooser, lengths)
        own = [part.axis for part in parts if part.axis != last]
        if index.has & set(own):
            return None
        value = self.sum(value, value.has - index.has - set(own), lengths)
        its = sorted(index.has)
        wanted = frozenset(own) | index.has
        text = value.name
        if not wanted <= value.has:
            sizes = [self.size_of(i, lengths) if i in wanted else "1" for i in range(BATCH, last)]
            text += f".expand({', '.join(sizes)})"
        order: list[int] = []
        for part in parts:
            order += its if part.axis == last else [part.axis]
        order += [i for i in range(BATCH, last) if i not in order]
        if order != sorted(order):
            text += f".permute({', '.join(str(i + 1) for i in order)})"
        shape = ["-1" if part.axis == last else str(part.length) for part in parts]
        text += f".reshape({', '.join(shape)})"
        if store.made and not store.own:
            old = store.name
            self.rename(store)
            self.put(store.name, f"{old}.clone()")
        self.prepare(store)
        store.made = store.own = True
        return f"{store.name}.index_add_({axis}, {index.name}.reshape(-1), {text})"

    # The end

    def finish(self) -> None:
        """Bring together the results, and the gradients of all parameters."""
        texts, places, before = [], np.zeros(len(self.groups.outputs), np.int64), 0
        for space in dict.fromkeys(space for space, _ in self.groups.outputs):
            which = [i for i, (other, _) in enumerate(self.groups.outputs) if other == space]
            cells = np.array([self.groups.outputs[i][1] for i in which])
            if space == CONSTANTS:
                array = np.array(self.groups.constants)[cells]
                text = f"{self.constant(array)}[:, None].expand(-1, batch)"
            else:
                pool, found, batched = self.pool(space, cells)
                flat = self.variable(pool, frozenset())
                text = f"{flat.name}[:, {self.constant(found)}].t()" if batched else (
                    f"{flat.name}[{self.constant(found)}][:, None].expand(-1, batch)"
                )  # fmt: skip
            texts.append(text)
            places[which] = before + np.arange(len(which))
            before += len(which)
        result = texts[0] if len(texts) == 1 else f"torch.cat([{', '.join(texts)}])[{self.constant(places)}]"
        if not texts:
            result = "seed.new_zeros((0, batch))"
        self.put("results", result)
        if not self.with_gradient:
            self.lines.append(("", "return results, None"))
            return
        pieces = []
        for store in self.stores[GRADIENTS]:
            self.prepare(store)
            pieces.append(f"{store.name}.reshape(-1)")
        gradient = f"torch.cat([{', '.join(pieces)}])" if pieces else "seed.new_zeros((0,))"
        if self.scattered.made:
            gradient += f" + {self.scattered.name}"
        self.put("gradient", gradient)
        self.lines.append(("", "return results, gradient"))


def names_in(text: str) -> set[str]:
    """The variables in a line of code."""
    return set(re.findall(r"\b(?:[vxpg]\d+(?:_\d+)?|scattered(?:_\d+)?|floats|seed|results|gradient)\b", text))


def power_text(x: str, k: float) -> str:
    known = {
        0.0: f"torch.ones_like({x}) + {x} * 0.0", 1.0: x, 2.0: f"{x} * {x}", -1.0: f"torch.reciprocal({x})",
        -0.5: f"torch.rsqrt({x})", 0.5: f"torch.sqrt({x})", 3.0: f"{x} * {x} * {x}",
        -2.0: f"torch.square(torch.reciprocal({x}))",
    }  # fmt: skip
    return known.get(float(k), f"torch.pow({x}, {k!r})")


def at_least_one(expression: Expression) -> bool:
    """Whether this is 1 or more, by its form, and finite: 1 + exp(x)."""
    if expression.operation != "+":
        return False
    return {a.operation for a in expression.arguments} == {"constant", "exp"} and any(
        a.operation == "constant" and 1 <= a.what < 2 for a in expression.arguments
    )


def active_bounds(nest: Nest) -> list[tuple[int, int, int, int]]:
    """The axes of a nest that have a bound, with the axis that bounds them, and the constant and the step of it."""
    return [(i, b.of, b.constant, b.step) for i, b in enumerate(nest.bounds) if b is not None and nest.lengths[i] > 1]


def factors_of(expression: Expression) -> tuple[list[Expression], float]:
    """The factors of a product that are no constants, and the product of those that are."""
    found: list[Expression] = []
    constant = 1.0
    stack = [expression]
    while stack:
        node = stack.pop()
        if node.operation == "*":
            stack += node.arguments[::-1]
        elif node.operation == "constant":
            constant *= node.what
        else:
            found.append(node)
    return found, constant


def cells_of(load: Load, lengths: tuple[int, ...]) -> np.ndarray:
    """The cell of each index of a nest, of length 1 along axes on which it does not depend."""
    sizes = [
        n if s or (load.table is not None and i == 0) else 1
        for i, (n, s) in enumerate(zip(lengths, load.strides, strict=True))
    ]
    found = np.full(sizes, 0, np.int64)
    for i, (n, s) in enumerate(zip(sizes, load.strides, strict=True)):
        along = load.table.starts if load.table is not None and i == 0 else s * np.arange(n)
        found = found + np.reshape(along, [-1 if j == i else 1 for j in range(len(sizes))])
    return found if load.table is not None else found + load.start


def places_in(array: Array, cells: np.ndarray) -> np.ndarray:
    """Where cells of an array lie in its tensor, flat."""
    rest, places = cells - array.start, np.zeros(cells.shape, np.int64)
    step = {i: prod(array.lengths[i + 1 :]) for i in range(len(array.lengths))}
    for axis in sorted(step, key=lambda i: (-array.strides[i], -array.lengths[i])):
        if array.lengths[axis] > 1:
            places += rest // array.strides[axis] * step[axis]
            rest = rest % array.strides[axis]
    return places


def places_written(places: np.ndarray, array: Array) -> np.ndarray:
    """Which elements of an array are among some places."""
    mask = np.zeros(array.size + 1, bool)
    mask[places.ravel()] = True
    return mask[: array.size].reshape(1, *array.lengths)


def layout_of(load: Load, lengths: tuple[int, ...], array: Array) -> Layout | None:
    """How the axes of a nest walk along those of an array; None where they do not lie in it like a grid."""
    if load.table is not None or any(s < 0 for s in load.strides):
        return None
    order = sorted((i for i, n in enumerate(array.lengths) if n > 1), key=lambda i: array.strides[i], reverse=True)
    rest = load.start - array.start
    first = [0] * len(array.lengths)
    for axis in order:
        first[axis], rest = divmod(rest, array.strides[axis])
    if rest or any(f >= max(n, 1) for f, n in zip(first, array.lengths, strict=True)):
        return None
    pieces: dict[int, list[Part]] = {}
    for axis, (length, stride) in enumerate(zip(lengths, load.strides, strict=True)):
        if length == 1 or stride == 0:
            continue
        found: list[Part] = []
        while length > 1:
            own = next((i for i in order if stride % array.strides[i] == 0 and array.strides[i] <= stride), None)
            if own is None:
                return None
            step = stride // array.strides[own]
            size = array.lengths[own]
            if first[own] + (length - 1) * step < size:
                found.append(Part(axis, length, step, own))
                break
            inner = size // step if size % step == 0 else 0
            if first[own] or inner < 2 or length % inner:
                return None
            found.append(Part(axis, inner, step, own))
            length, stride = length // inner, stride * inner
        pieces[axis] = found[::-1]
    along: list[list[Part]] = [[] for _ in array.lengths]
    for parts in pieces.values():
        for part in parts:
            along[part.of].append(part)
    for axis, parts in enumerate(along):
        parts.sort(key=lambda part: -part.step)
        for outer, inner_part in pairwise(parts):
            if outer.step % inner_part.step or outer.step < inner_part.step * inner_part.length:
                return None
        if len(parts) > 1 and first[axis] + parts[0].step * parts[0].length > array.lengths[axis]:
            return None
    return Layout(first, along, pieces)


def part_text(store: Store, layout: Layout) -> tuple[str, list[Part]]:
    """The part of an array that a nest reads, as a view with an axis for each part, in the order of the array."""
    text = store.name
    shift = int(store.batched)
    array = store.array
    chosen = []
    for axis, (first, parts) in enumerate(zip(layout.first, layout.along, strict=True)):
        if not parts:
            chosen.append(str(first))
            continue
        step, length = (parts[0].step, parts[0].length) if len(parts) == 1 else (1, parts[0].step * parts[0].length)
        end = first + (length - 1) * step + 1
        if first == 0 and end == array.lengths[axis] and step == 1:
            chosen.append(":")
        else:
            chosen.append(f"{first}:{end}" + (f":{step}" if step > 1 else ""))
    while chosen and chosen[-1] == ":":
        chosen.pop()
    if chosen:
        text += f"[{', '.join([':'] * shift + chosen)}]"
    place = shift
    everything: list[Part] = []
    for parts in layout.along:
        for outer, part in pairwise(parts):
            text += f".unflatten({place}, ({outer.length if outer is parts[0] else -1}, {outer.step}))"
            place += 1
            used = (part.length - 1) * part.step + 1 if part is parts[-1] else part.length * part.step
            if used != outer.step or (part is parts[-1] and part.step > 1):
                stride = f":{part.step}" if part is parts[-1] and part.step > 1 else ""
                text += f"[{', '.join([':'] * place + [f':{used}{stride}'])}]"
        place += bool(parts)
        everything += parts
    return text, everything
