"""Loop nests as machine code, written as LLVM instructions.

A kernel serves every nest of one structure: the same operations on the same loads, each along the same loops. Lengths,
strides and starts are its arguments. So models of all sizes share their kernels, and so do all layers of a model.

A vector instruction computes `width` numbers at once. In its lanes lie several examples, or several indices of an axis
(see lanes.py). Groups of lanes may lie at several indices of a second axis.

No instruction may assume that there is no NaN or infinity, so that a diverging run is seen to diverge. Factors keep
their order: a zero must meet an exp that has grown too large before any other factor does.

A loop that runs turn by turn calls the kernels of its nests. From turn to turn only their arguments change, by the same
increments: the starts of what they read and write.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from llvmlite import ir

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    INTEGERS,
    PARAMETERS,
)
from microgpt.engines.compiled.llvm.arguments import ARGUMENTS, FRAME, POINTERS, ROW, SPACES, TABLES, loaded
from microgpt.engines.compiled.llvm.operations import CAN_MASK, I32, I64, Operations

BESIDE, APART = "beside", "apart"  # how the numbers lie that a vector is made of


@dataclass(frozen=True)
class LeafShape:
    """The structure of a load: its space, and the loops along which it moves."""

    space: str
    loops: tuple[int, ...]  # the outermost first
    chooser: "LeafShape | None" = None
    table: bool = False  # whether a table gives the start for each index of axis 0
    lanes: str = ""  # how the lanes of a group lie: BESIDE each other, APART, or all in one place
    whole: bool = False  # whether the groups follow each other without a gap

    def argument_names(self, name: str) -> Iterator[str]:
        yield f"{name} start"
        yield from (f"{name} stride {loop}" for loop in self.loops)  # along axis 0 of a table: where it begins
        if self.lanes == APART:
            yield f"{name} lane"
        if self.chooser is not None:
            yield f"{name} step"
            yield from self.chooser.argument_names(f"{name} chooser")


@dataclass(frozen=True)
class LoopShape:
    """The structure of a loop: which axis it walks, and which other loop bounds it."""

    axis: int  # -1: the vector loop; 0: the first axis, along which tables are read; 1: any other
    summed: bool = False
    below: int = -1  # this index stays below constant + step * the index of that loop
    above: int = -1  # the index of that loop stays below constant + step * this index
    step: int = 0  # of the bound


@dataclass(frozen=True)
class NestShape:
    """The structure of a nest: all that its kernel depends on."""

    loops: tuple[LoopShape, ...]
    leaves: tuple[LeafShape, ...]
    target: LeafShape
    program: tuple[Any, ...]  # the nodes of the expression: (operation, what, arguments)
    add: bool
    reduction: str
    checked: str  # where a power is NaN: "" nowhere, "power" where it is not finite, "derivative" where either is not
    width: int
    double: bool
    groups: int = 1  # of lanes in a vector: each has another index of a second loop
    group_loop: int = -1
    tail: bool = False  # whether the last vector may have lanes beyond the end of the vector loop
    narrow: bool = False  # whether the parameters are in single precision, though it computes in double

    def argument_names(self) -> list[str]:
        names = []
        for i, loop in enumerate(self.loops):
            names += [f"length {i}", *([f"constant {i}"] if loop.below >= 0 or loop.above >= 0 else [])]
        names += self.target.argument_names("target")
        for i, leaf in enumerate(self.leaves):
            names += leaf.argument_names(f"load {i}")
        return names

    def emit(self, module: ir.Module, name: str) -> None:
        NestKernel(module, name, self)


def as_stored(kind: Any, base: Any) -> Any:
    """A number, or a vector of numbers, of the kind to which a pointer points."""
    number = base.type.pointee
    return ir.VectorType(number, kind.count) if isinstance(kind, ir.VectorType) else number


def size_of(kind: Any) -> int:
    """The bytes of a number, or of a number of a vector."""
    return 8 if isinstance(getattr(kind, "element", kind), ir.DoubleType) else 4


class Builder(Operations):
    """Writes LLVM instructions on numbers of one type, in vectors of one width. Operands may be single numbers, too."""

    def __init__(self, block: ir.Block, double: bool, width: int):
        super().__init__(block)
        self.double, self.width = double, width
        self.scalar, self.size = (ir.DoubleType(), 8) if double else (ir.FloatType(), 4)
        self.vector: Any = ir.VectorType(self.scalar, width) if width > 1 else self.scalar

    def number(self, value: float, like: Any = None) -> ir.Constant:
        """A constant; in each lane, if `like` is a vector."""
        return (self.scalar if like is None else like.type)(value)

    def spread(self, x: Any) -> Any:
        """A number in every lane of a vector."""
        return x if isinstance(x.type, ir.VectorType) else self.lanes_from(x, [0] * self.width)

    def lanes_from(self, x: Any, places: Sequence[int], more: Any = None) -> Any:
        """A vector of the lanes at these places of x, or of x and one `more` vector; a number, if there is one lane."""
        if not isinstance(x.type, ir.VectorType):
            if len(places) == 1:
                return x
            x = self.insert_element(ir.VectorType(x.type, 1)(ir.Undefined), x, I32(0))
        if len(places) == 1:
            return self.extract_element(x, I32(places[0]))
        other = x.type(ir.Undefined) if more is None else more
        return self.shuffle_vector(x, other, ir.VectorType(I32, len(places))(list(places)))

    def alike(self, *numbers: Any) -> list[Any]:
        """Single numbers, or vectors."""
        return [*numbers] if len({x.type for x in numbers}) == 1 else [self.spread(x) for x in numbers]

    def at(self, base: Any, offset: Any, kind: Any) -> Any:
        address = self.gep(base, [offset])
        return address if kind == address.type.pointee else self.bitcast(address, kind.as_pointer())

    def read(self, base: Any, offset: Any, kind: Any = None) -> Any:
        """Load a vector of numbers, or one of another kind."""
        kind = kind or self.vector
        stored = as_stored(kind, base)
        return self.widened(self.load(self.at(base, offset, stored), align=size_of(stored)), kind)

    def widened(self, x: Any, kind: Any) -> Any:
        """Numbers as they are stored, in the precision of this builder."""
        return x if x.type == kind else self.fpext(x, kind)

    def write(self, x: Any, base: Any, offset: Any, add: bool = False) -> None:
        """Store numbers, or add them to those that are there."""
        address = self.at(base, offset, x.type)
        self.store(self.fadd(self.load(address, align=self.size), x) if add else x, address, align=self.size)

    def masked_read(self, base: Any, offset: Any, lanes: int, first: Any, end: Any) -> Any:
        """Load the lanes of a vector from the first on and before the end, and zeros for the others."""
        kind = ir.VectorType(self.scalar, lanes)
        stored = as_stored(kind, base)
        if not CAN_MASK:
            return self.widened(self.some_read(base, offset, stored, first, end), kind)
        mask = self.lanes_between(range(lanes), first, end)
        arguments = self.at(base, offset, stored), I32(size_of(stored)), mask, stored([0.0] * kind.count)
        function = self.masked("load", stored, stored, [arguments[0].type, I32, mask.type, stored])
        return self.widened(self.call(function, arguments), kind)

    def masked_write(self, x: Any, base: Any, offset: Any, first: Any, end: Any, add: bool = False) -> None:
        """Store the lanes of a vector from the first on and before the end, or add them to what is there."""
        if not CAN_MASK or lanes_of(x) == 1:
            self.some_written(x, base, offset, first, end, add)
            return
        x = self.fadd(self.masked_read(base, offset, lanes_of(x), first, end), x) if add else x
        mask = self.lanes_between(range(lanes_of(x)), first, end)
        arguments = x, self.at(base, offset, x.type), I32(self.size), mask
        kinds = [x.type, arguments[1].type, I32, mask.type]
        self.call(self.masked("store", x.type, ir.VoidType(), kinds), arguments)

    def lanes_between(self, lanes: Sequence[int], first: Any, end: Any) -> Any:
        """A mask of the lanes, with these numbers, from the first on and before the end; None is no limit."""
        kind, found = ir.VectorType(I32, len(lanes)), None
        for order, place in (">=", first), ("<", end):
            if place is not None:
                limit = self.lanes_from(self.trunc(place, I32), [0] * len(lanes))
                one = self.icmp_signed(order, kind(list(lanes)), limit)
                found = one if found is None else self.and_(found, one)
        return found

    def masked(self, name: str, kind: Any, result: Any, arguments: list[Any]) -> Any:
        """The instruction of LLVM that loads or stores lanes of a vector."""
        full = f"llvm.masked.{name}.v{kind.count}f{8 * size_of(kind)}.p0"
        function = self.module.globals.get(full)
        return function or ir.Function(self.module, ir.FunctionType(result, arguments), full)

    def some_read(self, base: Any, offset: Any, kind: Any, first: Any, end: Any) -> Any:
        """Load some lanes of a vector without a mask: at once, if they are all, else one by one."""
        buffer = self.room(kind)
        first, end, is_whole = self.clamped(kind.count, first, end)
        with self.if_else(is_whole) as (at_once, one_by_one):
            with at_once:
                whole, of_whole = self.load(self.at(base, offset, kind), align=size_of(kind)), self.block
            with one_by_one:
                self.store(kind([0.0] * kind.count), buffer)
                numbers = self.bitcast(buffer, kind.element.as_pointer())

                def lane(i: Any) -> None:
                    self.store(self.load(self.gep(base, [self.add(offset, i)])), self.gep(numbers, [i]))

                self.each(first, end, 1, lane)
                part, of_part = self.load(buffer), self.block
        found = self.phi(kind)
        found.add_incoming(whole, of_whole)
        found.add_incoming(part, of_part)
        return found

    def some_written(self, x: Any, base: Any, offset: Any, first: Any, end: Any, add: bool) -> None:
        """Store some lanes of a vector without a mask, or add them to what is there."""
        buffer = self.room(x.type)
        first, end, is_whole = self.clamped(lanes_of(x), first, end)
        with self.if_else(is_whole) as (at_once, one_by_one):
            with at_once:
                self.write(x, base, offset, add)
            with one_by_one:
                self.store(x, buffer)
                numbers = self.bitcast(buffer, self.scalar.as_pointer())

                def lane(i: Any) -> None:
                    self.write(self.load(self.gep(numbers, [i])), base, self.add(offset, i), add)

                self.each(first, end, 1, lane)

    def room(self, kind: Any) -> Any:
        """Where a function keeps a vector while it runs."""
        with self.goto_entry_block():
            return self.alloca(kind)

    def clamped(self, lanes: int, first: Any, end: Any) -> tuple[Any, Any, Any]:
        """The first lane and the end as lanes that there are, and whether all are between; None is no limit."""
        first = I64(0) if first is None else self.maximum(first, I64(0))
        end = I64(lanes) if end is None else self.minimum(end, I64(lanes))
        return first, end, self.icmp_signed("==", self.sub(end, first), I64(lanes))

    def across(self, x: Any, groups: int = 1, combined: Callable[[Any, Any], Any] | None = None) -> Any:
        """The lanes of each group of a vector added up, or combined in another way, by halves."""
        lanes = lanes_of(x) // groups
        while lanes > 1:
            lanes //= 2
            low = [group * 2 * lanes + lane for group in range(groups) for lane in range(lanes)]
            halves = self.lanes_from(x, low), self.lanes_from(x, [place + lanes for place in low])
            x = self.fadd(*halves) if combined is None else combined(*halves)
        return x

    def minimum(self, x: Any, y: Any) -> Any:
        return self.select(self.icmp_signed("<", x, y), x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        return self.select(self.icmp_signed(">", x, y), x, y)

    def ceiling(self, x: Any, y: Any) -> Any:
        """x / y, rounded up, and 0 if x is negative."""
        least = self.sdiv(self.sub(self.add(x, y), I64(1)), y)
        return self.select(self.icmp_signed("<", x, I64(0)), I64(0), least)

    def loop(self, first: Any, end: Any, step: int, carried: list[Any], body: Callable[..., list[Any]]) -> list[Any]:
        """for index in range(first, end, step): carried = body(index, carried)"""
        before = self.block
        head, inside, after = (self.append_basic_block(name) for name in ("head", "body", "end"))
        self.branch(head)
        self.position_at_end(head)
        index = self.phi(I64)
        values = [self.phi(value.type) for value in carried]
        self.cbranch(self.icmp_signed("<", index, end), inside, after)
        self.position_at_end(inside)
        results = body(index, values)
        following = self.add(index, I64(step))
        for value, start, result in zip([index, *values], [first, *carried], [following, *results], strict=True):
            value.add_incoming(start, before)
            value.add_incoming(result, self.block)
        self.branch(head)
        self.position_at_end(after)
        return values

    def each(self, first: Any, end: Any, step: int, body: Callable[[Any], None]) -> None:
        """for index in range(first, end, step): body(index)"""

        def without_results(index: Any, _: list[Any]) -> list[Any]:
            body(index)
            return []

        self.loop(first, end, step, [], without_results)

    # The operations

    def apply(self, operation: str, what: Any, arguments: list[Any], checked: str) -> Any:
        """One operation of an expression, or one of those that `fused` makes of sums."""
        if operation == "+":
            return self.fadd(*self.alike(*arguments))
        if operation == "*":
            return self.fmul(*self.alike(*arguments))
        if operation == "* +":
            return self.multiply_add(*self.alike(*arguments))
        if operation == "- * +":
            return self.multiply_add(*self.alike(self.fneg(arguments[0]), *arguments[1:]))
        if operation == "**":
            return self.power(arguments[0], what, checked)
        if operation in ("<", "<="):
            return self.less(operation, *arguments)
        if operation == "where":
            return self.where(*arguments)
        return getattr(self, operation)(arguments[0])

    def less(self, operation: str, x: Any, y: Any) -> Any:
        """1 where x < y (or <=), else 0."""
        x, y = self.alike(x, y)
        return self.select(self.fcmp_ordered(operation, x, y), self.number(1.0, x), self.number(0.0, x))

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """x where the condition is not 0, else y."""
        if len({one.type for one in (condition, x, y)}) > 1:
            condition, x, y = map(self.spread, (condition, x, y))
        return self.select(self.fcmp_unordered("!=", condition, self.number(0.0, condition)), x, y)


def fused(program: Sequence[Any], depths: Sequence[int]) -> list[Any]:
    """The nodes of a program, where a sum includes a product that nothing else uses: both are rounded once.

    Which ones are, only the program tells: no number may depend on what a processor fuses. Of two products it is the
    first. A product that is computed in another loop than the sum stays by itself. A node that became a part is None.
    """
    uses = Counter(argument for _, _, arguments in program for argument in arguments)
    nodes = list(program)

    def product(i: int, depth: int, negative: bool = False) -> list[Any] | None:
        """The operation and the factors of a sum that includes this node, and the nodes that are then part of it."""
        operation, _, arguments = program[i]
        if operation != "*" or uses[i] > 1 or depths[i] != depth:
            return None
        if program[arguments[1]][:2] != ("constant", -1.0):
            return ["- * +" if negative else "* +", arguments, i]
        found = product(arguments[0], depth, not negative)
        return found and [*found, i]

    for i, (operation, what, arguments) in enumerate(program):
        for one, other in (arguments, arguments[::-1]) if operation == "+" else ():
            found = product(one, depths[i])
            if found is not None:
                name, factors, *parts = found
                nodes[i] = name, what, (*factors, other)
                for part in parts:
                    nodes[part] = None
                break
    return nodes


def lanes_of(x: Any) -> int:
    return x.type.count if isinstance(x.type, ir.VectorType) else 1


def function_type(double: bool) -> ir.FunctionType:
    number, index = (ir.DoubleType() if double else ir.FloatType()).as_pointer(), I64.as_pointer()
    return ir.FunctionType(ir.VoidType(), [number, number, number, number, index, index, index])


class Kernel(Builder):
    """What all kernels have: a function, its pointers by space, and its arguments by name."""

    def __init__(self, module: ir.Module, name: str, shape: Any):
        function = ir.Function(module, function_type(shape.double), name)
        for argument in function.args:
            argument.add_attribute("noalias")
        super().__init__(function.append_basic_block(), shape.double, shape.width)
        self.shape = shape
        self.pointer = dict(zip(SPACES, function.args, strict=True))
        if shape.narrow:
            self.pointer[PARAMETERS] = self.bitcast(self.pointer[PARAMETERS], ir.FloatType().as_pointer())
        self.argument = loaded(self, self.pointer[ARGUMENTS], shape.argument_names())


class NestKernel(Kernel):
    """The kernel of a nest: its loops, and in each loop what does not change further in."""

    def __init__(self, module: ir.Module, name: str, shape: NestShape):
        super().__init__(module, name, shape)
        self.lanes = shape.width // shape.groups  # of a group
        self.vector_loop = next(i for i, loop in enumerate(shape.loops) if loop.axis < 0)
        self.first_summed = next((i for i, loop in enumerate(shape.loops) if loop.summed), len(shape.loops))
        self.depths: list[int] = []  # of each node of the program, the innermost loop in which it changes
        for operation, what, arguments in shape.program:
            inner = self.depth_of(shape.leaves[what]) if operation == "load" else -1
            self.depths.append(max((self.depths[a] for a in arguments), default=inner))
        result, innermost = len(shape.program) - 1, len(shape.loops) - 1
        more = [("so far", None, ()), ("+", None, (result, result + 1))]
        summed = self.first_summed <= innermost and shape.reduction == "sum"
        nodes = fused([*shape.program, *(more if summed else [])], [*self.depths, innermost, innermost])
        self.program, self.last = nodes[: result + 1], nodes[-1]  # the last node adds the result to the sum so far
        self.values: list[Any] = [None] * len(self.program)
        self.indices: list[Any] = []
        self.limits: list[tuple[Any, Any]] = []  # the first lane within a bound, and the end of those
        self.nest(0, [])
        self.ret_void()

    def depth_of(self, leaf: LeafShape) -> int:
        depth = max((*leaf.loops, self.vector_loop if leaf.lanes else -1), default=-1)
        return depth if leaf.chooser is None else max(depth, self.depth_of(leaf.chooser))

    # Loads and stores

    def in_lanes(self, leaf: LeafShape) -> bool:
        """Whether a load differs from lane to lane of a group."""
        return leaf.lanes != "" or self.chosen_by_lane(leaf)

    def chosen_by_lane(self, leaf: LeafShape) -> bool:
        """Whether each lane has an integer of its own that chooses."""
        return leaf.chooser is not None and self.in_lanes(leaf.chooser)

    def in_groups(self, leaf: LeafShape) -> bool:
        """Whether a load differs from group to group."""
        moves = self.shape.group_loop in leaf.loops
        return moves or (leaf.chooser is not None and self.in_groups(leaf.chooser))

    def offset(self, leaf: LeafShape, name: str, group: int = 0) -> Any:
        """Where the first lane of a group lies for the present indices, without an integer that differs by lane."""
        where = self.argument[f"{name} start"]
        for i in leaf.loops:
            stride, index = self.argument[f"{name} stride {i}"], self.indices[i]
            if i == self.shape.group_loop:
                index = self.add(index, I64(group))
            if leaf.table and self.shape.loops[i].axis == 0:
                where = self.add(where, self.load(self.gep(self.pointer[TABLES], [self.add(stride, index)])))
            else:
                where = self.add(where, self.mul(stride, index))
        if leaf.chooser is not None and not self.chosen_by_lane(leaf):
            where = self.chosen(where, leaf, name, self.offset(leaf.chooser, f"{name} chooser", group))
        return self.add(where, self.indices[self.vector_loop]) if leaf.lanes == BESIDE else where

    def chosen(self, where: Any, leaf: LeafShape, name: str, of_integer: Any) -> Any:
        """Where a load lies that is as many steps further on as an integer says."""
        integer = self.load(self.gep(self.pointer[INTEGERS], [of_integer]))
        return self.add(where, self.mul(integer, self.argument[f"{name} step"]))

    def offsets(self, leaf: LeafShape, name: str, group: int) -> list[Any]:
        """Where each lane of a group lies."""
        first, index = self.offset(leaf, name, group), self.indices[self.vector_loop]
        lanes = [I64(lane) for lane in range(self.lanes)]
        if self.shape.tail:  # lanes beyond the end read what the last one reads
            last = self.sub(self.sub(self.argument[f"length {self.vector_loop}"], I64(1)), index)
            lanes = [self.minimum(lane, last) for lane in lanes]
        if leaf.lanes == APART:
            stride = self.argument[f"{name} lane"]
            lanes = [self.mul(self.add(index, lane), stride) for lane in lanes]
        found = [self.add(first, lane) if leaf.lanes else first for lane in lanes]
        if leaf.chooser is not None and self.chosen_by_lane(leaf):
            integers = self.offsets(leaf.chooser, f"{name} chooser", group)
            found = [self.chosen(where, leaf, name, at) for where, at in zip(found, integers, strict=True)]
        return found

    def numbers(self, leaf: LeafShape, name: str) -> Any:
        """What a load reads: a vector, or a single number that is the same in all lanes."""
        groups = self.shape.groups if self.in_groups(leaf) else 1
        if groups == 1 and not self.in_lanes(leaf):
            return self.read(self.pointer[leaf.space], self.offset(leaf, name), self.scalar)
        if leaf.whole:
            count = self.shape.width if leaf.lanes else groups
            kind = ir.VectorType(self.scalar, count)
            found = self.read(self.pointer[leaf.space], self.offset(leaf, name), kind)
            if leaf.lanes:
                return found
            return self.lanes_from(found, [lane * count // self.shape.width for lane in range(self.shape.width)])
        found = [self.group(leaf, name, group) for group in range(groups)]
        if groups < self.shape.groups:
            return self.lanes_from(found[0], [*range(self.lanes)] * self.shape.groups)
        return self.side_by_side(found)

    def group(self, leaf: LeafShape, name: str, group: int) -> Any:
        """What a load reads for a group of lanes."""
        base, lanes = self.pointer[leaf.space], self.lanes
        if not self.in_lanes(leaf):
            return self.lanes_from(self.read(base, self.offset(leaf, name, group), self.scalar), [0] * lanes)
        if leaf.lanes == BESIDE and not self.chosen_by_lane(leaf):
            where = self.offset(leaf, name, group)
            if self.shape.tail:
                return self.masked_read(base, where, lanes, *self.limits[0])
            return self.read(base, where, self.vector if lanes == self.width else ir.VectorType(self.scalar, lanes))
        return self.side_by_side([self.read(base, at, self.scalar) for at in self.offsets(leaf, name, group)])

    def side_by_side(self, parts: list[Any]) -> Any:
        """Numbers, or vectors of equally many lanes, as one vector."""
        if len(parts) > 1 and not isinstance(parts[0].type, ir.VectorType):
            found = ir.VectorType(self.scalar, len(parts))(ir.Undefined)
            for lane, number in enumerate(parts):
                found = self.insert_element(found, number, I32(lane))
            return found
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self.lanes_from(a, range(2 * lanes_of(a)), b) for a, b in pairs]
        return parts[0]

    def put(self, result: Any) -> None:
        """Store a result, or add it to what is there."""
        shape, target, groups = self.shape, self.shape.target, self.shape.groups
        base, result = self.pointer[target.space], self.spread(result)
        if groups > 1 and shape.loops[shape.group_loop].summed:
            while groups > 1:
                groups //= 2
                half = range(groups * self.lanes)
                other = [lane + len(half) for lane in half]
                result = self.combined(self.lanes_from(result, half), self.lanes_from(result, other))
        if shape.loops[self.vector_loop].summed:
            result = self.across(result, groups, self.combined)
        if target.whole and not self.limits:
            self.write(result, base, self.offset(target, "target"), shape.add)
            return
        lanes = lanes_of(result) // groups
        for group in range(groups):
            part = self.lanes_from(result, range(group * lanes, (group + 1) * lanes))
            if target.lanes != APART and not self.chosen_by_lane(target):
                self.put_beside(part, base, self.offset(target, "target", group))
            else:
                for lane, where in enumerate(self.offsets(target, "target", group)):
                    self.write(self.lanes_from(part, [lane]), base, where, shape.add)

    def put_beside(self, result: Any, base: Any, where: Any) -> None:
        """Store numbers beside each other, or add them to what is there: those within the bounds."""
        if not self.limits or lanes_of(result) == 1:
            self.write(result, base, where, self.shape.add)
            return
        if self.shape.tail:
            firsts, ends = (
                [place for place in places if place is not None] for places in zip(*self.limits, strict=True)
            )
            first = reduce(self.maximum, firsts) if firsts else None
            self.masked_write(result, base, where, first, reduce(self.minimum, ends) if ends else None, self.shape.add)
        else:  # where the array goes on beyond the bound
            before = self.read(base, where, result.type)
            result = self.fadd(before, result) if self.shape.add else result
            self.write(self.select(self.mask(1), result, before), base, where)

    def mask(self, groups: int) -> Any:
        """For each lane of some groups whether it is within the limits."""
        lanes = [*range(self.lanes)] * groups
        return reduce(self.and_, [self.lanes_between(lanes, *limit) for limit in self.limits])

    # Operations

    def compute(self, level: int) -> None:
        """Compute what changes in the loop of this level and in none further in."""
        for i, node in enumerate(self.program):
            if node is None or self.depths[i] != level:
                continue
            operation, what, arguments = node
            if operation == "load":
                self.values[i] = self.numbers(self.shape.leaves[what], f"load {what}")
            elif operation == "constant":
                self.values[i] = self.number(what)
            else:
                self.values[i] = self.apply(operation, what, [self.values[a] for a in arguments], self.shape.checked)

    def combined(self, so_far: Any, result: Any) -> Any:
        """The sum with one term more, or the largest with one candidate more."""
        if self.shape.reduction != "largest":
            return self.fadd(so_far, result)
        greater = self.or_(self.fcmp_ordered(">", result, so_far), self.fcmp_unordered("uno", result, result))
        return self.select(self.and_(greater, self.fcmp_ordered("ord", so_far, so_far)), result, so_far)  # a NaN stays

    def combine(self, so_far: Any) -> Any:
        """What is combined so far with the result, in the lanes within the bounds."""
        if self.shape.reduction == "largest":
            found = self.combined(so_far, self.spread(self.values[-1]))
        else:
            operation, what, arguments = self.last
            values = [*self.values, so_far]
            found = self.apply(operation, what, [values[a] for a in arguments], "")
        return self.select(self.mask(self.shape.groups), found, so_far) if self.limits else found

    # Loops

    def nest(self, level: int, so_far: list[Any]) -> list[Any]:
        """The loops from a level on. The sum so far goes through those that are summed over."""
        self.compute(level - 1)
        if level == len(self.shape.loops):
            if so_far:
                return [self.combine(so_far[0])]
            self.put(self.values[-1])
        elif level == self.first_summed:
            neutral = float("-inf") if self.shape.reduction == "largest" else 0.0
            self.put(*self.loop_at(level, [self.vector(neutral)]))
        else:
            return self.loop_at(level, so_far)
        return []

    def loop_at(self, level: int, so_far: list[Any]) -> list[Any]:
        first, end = self.range_of(level)
        step = {self.vector_loop: self.lanes, self.shape.group_loop: self.shape.groups}.get(level, 1)

        def body(index: Any, carried: list[Any]) -> list[Any]:
            limit = self.limit_of(level, index, first, end) if self.lanes > 1 else None
            self.indices.append(index)
            self.limits += [limit] if limit else []
            result = self.nest(level + 1, carried)
            self.limits = self.limits[:-1] if limit else self.limits
            self.indices.pop()
            return result

        begin = self.and_(first, I64(-step)) if step > 1 and self.shape.loops[level].above >= 0 else first
        return self.loop(begin, end, step, so_far, body)

    def range_of(self, level: int) -> tuple[Any, Any]:
        """The first index of a loop and its end, within its bound; where that differs by lane, within any of them."""
        loop, first, end = self.shape.loops[level], I64(0), self.argument[f"length {level}"]
        if 0 <= loop.below < level:
            index = self.indices[loop.below]
            if loop.below == self.vector_loop and loop.step > 0:
                index = self.add(index, I64(self.lanes - 1))
            end = self.minimum(end, self.bound(level, index))
        if 0 <= loop.above < level:
            low, high = self.reach(level, self.indices[loop.above])
            first, end = low or first, self.minimum(end, high) if high else end
        return first, end

    def bound(self, level: int, index: Any) -> Any:
        """Below what the bounded index stays, where the other one of a pair is this."""
        rise = self.mul(I64(self.shape.loops[level].step), index)
        return self.add(self.argument[f"constant {level}"], rise)

    def reach(self, level: int, bounded: Any) -> tuple[Any, Any]:
        """The first index that bounds this one, or None, and the end of those: constant + step * index > bounded."""
        step = self.shape.loops[level].step
        beyond = self.sub(bounded, self.argument[f"constant {level}"])
        if step > 0:
            return self.ceiling(self.add(beyond, I64(1)), I64(step)), None
        return None, self.ceiling(self.neg(beyond), I64(-step))

    def limit_of(self, level: int, index: Any, first: Any, end: Any) -> tuple[Any, Any] | None:
        """The first lane that a loop includes at an index, and the end of those: None where it includes all."""
        loop, vector = self.shape.loops[level], self.vector_loop
        bounded = 0 <= loop.below < level or 0 <= loop.above < level
        if level == vector:
            low, high = (first, end) if bounded else (None, end if self.shape.tail else None)
        elif vector > level or vector not in (loop.below, loop.above):
            return None
        else:
            low, high = (None, self.bound(level, index)) if loop.above == vector else self.reach(level, index)
        within = [place and self.sub(place, self.indices[vector] if level > vector else index) for place in (low, high)]
        return (within[0], within[1]) if any(within) else None


OUTPUT_SPACES = (CELLS, PARAMETERS, CONSTANTS)  # where an output may lie

AT_ONCE = 8  # so many arguments change with one instruction


@dataclass(frozen=True)
class DriverShape:
    """What the driver depends on."""

    double: bool

    def emit(self, module: ir.Module, name: str) -> None:
        Driver(module, name, self.double)


def pointers(builder: Builder, frame: dict[str, Any]) -> dict[str, Any]:
    """The pointers of a frame."""
    numbers = (CELLS, PARAMETERS, GRADIENTS, CONSTANTS, "inputs", "results")
    kinds = {name: builder.scalar if name in numbers else I64 for name in POINTERS}
    return {name: builder.inttoptr(frame[name], kind.as_pointer()) for name, kind in kinds.items()}


class Rows(Builder):
    """The function that runs some rows of the code: it gets a frame, the first row and the end."""

    def __init__(self, module: ir.Module, name: str, double: bool):
        self.function_itself = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64, I64]), name)
        super().__init__(self.function_itself.append_basic_block(), double, 1)
        self.frame_pointer, first, end = self.function_itself.args
        self.pointer = pointers(self, loaded(self, self.frame_pointer, FRAME))
        before = self.block
        head, inside, after = (self.append_basic_block(name) for name in ("head", "row", "end"))
        self.branch(head)
        self.position_at_end(head)
        index = self.phi(I64)
        index.add_incoming(first, before)
        self.cbranch(self.icmp_signed("<", index, end), inside, after)
        self.position_at_end(inside)
        index.add_incoming(self.run_row(index), self.block)
        self.branch(head)
        self.position_at_end(after)
        self.ret_void()

    def run_row(self, index: Any) -> Any:
        """Call a kernel, or take the turns of a loop; return the next row."""
        row = loaded(self, self.gep(self.pointer["code"], [self.mul(index, I64(len(ROW)))]), ROW)
        arguments = self.gep(self.pointer[ARGUMENTS], [row["arguments"]])
        following = self.add(index, I64(1))
        after = self.add(following, row["rows"])
        with self.if_else(self.icmp_signed("==", row["kernel"], I64(0))) as (loop, kernel):
            with loop:

                def turn(_: Any) -> None:
                    self.call(self.function_itself, [self.frame_pointer, following, after])
                    self.change(arguments, row, lambda increments: increments)

                self.each(I64(0), row["turns"], 1, turn)
                back = self.vector_of(self.neg(row["turns"]))
                self.change(arguments, row, lambda increments: self.mul(increments, back))  # as they were
            with kernel:
                function = self.inttoptr(row["kernel"], function_type(self.double).as_pointer())
                self.call(function, [*(self.pointer[space] for space in SPACES[:-1]), arguments])
        return after

    def vector_of(self, x: Any) -> Any:
        """An integer as often as arguments change with one instruction."""
        several = ir.VectorType(I64, AT_ONCE)
        first = self.insert_element(several(ir.Undefined), x, I32(0))
        return self.shuffle_vector(first, several(ir.Undefined), ir.VectorType(I32, AT_ONCE)(0))

    def change(self, arguments: Any, row: dict[str, Any], by: Callable[[Any], Any]) -> None:
        """Add to the arguments within a loop what a function makes of their increments."""
        increments, kind = self.inttoptr(row["increments"], I64.as_pointer()), ir.VectorType(I64, AT_ONCE).as_pointer()

        def some(i: Any) -> None:
            place, step = (self.bitcast(self.gep(at, [i]), kind) for at in (arguments, increments))
            self.store(self.add(self.load(place, align=8), by(self.load(step, align=8))), place, align=8)

        self.each(I64(0), row["size"], AT_ONCE, some)


class Driver(Builder):
    """The function that runs a program on some blocks of a batch. It gets a pointer to a frame, as above."""

    names: Sequence[str] = FRAME  # of what is in the frame

    def __init__(self, module: ir.Module, name: str, double: bool):
        self.rows = Rows(module, f"{name}_rows", double).function_itself
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64.as_pointer()]), name)
        super().__init__(function.append_basic_block(), double, 1)
        self.frame_pointer = function.args[0]
        self.frame = loaded(self, self.frame_pointer, self.names)
        self.pointer = pointers(self, self.frame)
        self.body()
        self.ret_void()

    def body(self) -> None:
        self.each(self.frame["first_block"], self.frame["end_block"], 1, self.run_block)

    def up_to(self, count: Any, body: Callable[[Any], None]) -> None:
        self.each(I64(0), count, 1, body)

    def run_block(self, block: Any) -> None:
        begin = self.mul(block, self.frame["block_size"])
        self.up_to(self.frame["block_size"], lambda lane: self.copy_in(begin, lane))
        self.call(self.rows, [self.frame_pointer, I64(0), self.frame["rows"]])
        self.up_to(self.frame["output_count"], lambda output: self.copy_out(begin, output))

    def copy_in(self, begin: Any, lane: Any) -> None:
        """Copy one example into its lane. The last example fills the lanes of those that are missing.

        The backward pass begins with the share of the example in the mean, which is 0 for a missing one.
        """
        last, example = self.sub(self.frame["batch"], I64(1)), self.add(begin, lane)
        real = self.icmp_signed("<=", example, last)
        row = self.select(real, example, last)
        self.copy("inputs", CELLS, row, self.frame["input_count"], lane, self.size)
        self.copy("integers", INTEGERS, row, self.frame["integer_count"], lane, 8)
        share = self.fdiv(self.number(1.0), self.sitofp(self.frame["batch"], self.scalar))
        seed = self.select(real, share, self.number(0.0))
        self.write(seed, self.pointer[CELLS], self.add(self.frame["seed"], lane))

    def copy(self, source: str, target: str, row: Any, count: Any, lane: Any, size: int) -> None:
        """Copy a row of numbers into a lane."""
        start = self.mul(row, count)

        def number(i: Any) -> None:
            value = self.load(self.gep(self.pointer[source], [self.add(start, i)]), align=size)
            place = self.add(self.mul(i, self.frame["block_size"]), lane)
            self.store(value, self.gep(self.pointer[target], [place]), align=size)

        self.up_to(count, number)

    def pair(self, table: str, i: Any) -> Iterator[Any]:
        for column in range(2):
            yield self.load(self.gep(self.pointer[table], [self.add(self.mul(i, I64(2)), I64(column))]))

    def copy_out(self, begin: Any, output: Any) -> None:
        """Copy one output of all examples of a block into the results."""
        space, place = self.pair("outputs", output)
        base, stride = self.pointer[CELLS], self.zext(self.icmp_signed("==", space, I64(0)), I64)
        for i, other in enumerate(OUTPUT_SPACES[1:], 1):
            base = self.select(self.icmp_signed("==", space, I64(i)), self.pointer[other], base)
        target = self.add(self.mul(output, self.frame["width"]), begin)

        def lane_of(lane: Any) -> None:
            value = self.read(base, self.add(place, self.mul(stride, lane)))
            self.write(value, self.pointer["results"], self.add(target, lane))

        self.up_to(self.frame["block_size"], lane_of)
