"""Loop nests as machine code, written as LLVM instructions.

A kernel serves every nest of one structure: the same operations on the same loads, each along the same loops. Lengths,
strides and starts are its arguments. So models of all sizes share their kernels, and so do all layers of a model.

The examples of a block lie side by side in memory, so a vector instruction computes `width` of them at once. If an axis
of the nest lies beside the examples in all loads and in the target, it joins them in the vector loop.

No instruction may assume that there is no NaN or infinity, so that a diverging run is seen to diverge. Factors keep
their order: a zero must meet an exp that has grown too large before any other factor does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from microgpt.engines.compiled.expressions import (
    CELLS,
    CONSTANTS,
    GRADIENTS,
    INTEGERS,
    PARAMETERS,
    Expression,
    nodes_of,
)
from microgpt.engines.compiled.llvm.arguments import loaded
from microgpt.value import LARGEST_EXPONENT, LARGEST_FLOAT

LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127
I64, I32, I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)
FAST = ("contract", "nsz")

# Every kernel gets a pointer to each of these: the spaces of loads, the tables of starts, and its own arguments.
TABLES, ARGUMENTS = "t", "a"
SPACES = (CELLS, PARAMETERS, GRADIENTS, CONSTANTS, INTEGERS, TABLES, ARGUMENTS)


@dataclass(frozen=True)
class LeafShape:
    """The structure of a load: its space, and the loops along which it moves."""

    space: str
    loops: tuple[int, ...]  # the outermost first
    chooser: "LeafShape | None" = None
    table: bool = False  # whether a table gives the start for each index of axis 0

    def argument_names(self, name: str) -> Iterator[str]:
        yield f"{name} start"
        yield from (f"{name} stride {loop}" for loop in self.loops)  # along axis 0 of a table: where it begins
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
    rising: bool = True  # the sign of the step


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

    def argument_names(self) -> list[str]:
        names = []
        for i, loop in enumerate(self.loops):
            bounded = loop.below >= 0 or loop.above >= 0
            names += [f"length {i}", *([f"constant {i}", f"step {i}"] if bounded else [])]
        names += self.target.argument_names("target")
        for i, leaf in enumerate(self.leaves):
            names += leaf.argument_names(f"load {i}")
        return names

    def emit(self, module: ir.Module, name: str) -> None:
        NestKernel(module, name, self)


class Builder:
    """Writes LLVM instructions on numbers of one type, in vectors of one width."""

    def __init__(self, builder: ir.IRBuilder, double: bool, width: int):
        self.b = builder
        self.double = double
        self.width = width
        self.scalar = ir.DoubleType() if double else ir.FloatType()
        self.size = 8 if double else 4
        self.vector: Any = ir.VectorType(self.scalar, width) if width > 1 else self.scalar

    def integer(self, value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def number(self, value: float, like: Any = None) -> ir.Constant:
        return self.constant(value, self.scalar if like is None else like.type)

    def constant(self, value: float, kind: Any) -> ir.Constant:
        if isinstance(kind, ir.VectorType):
            return ir.Constant(kind, [ir.Constant(self.scalar, value)] * kind.count)
        return ir.Constant(kind, value)

    def spread(self, x: Any) -> Any:
        """A number in every lane of a vector."""
        if self.width == 1 or isinstance(x.type, ir.VectorType):
            return x
        undefined = ir.Constant(self.vector, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(I32, self.width), [0] * self.width)
        return self.b.shuffle_vector(self.b.insert_element(undefined, x, I32(0)), undefined, zeros)

    def same(self, x: Any, y: Any) -> tuple[Any, Any]:
        if isinstance(x.type, ir.VectorType) != isinstance(y.type, ir.VectorType):
            return self.spread(x), self.spread(y)
        return x, y

    def add(self, x: Any, y: Any) -> Any:
        return self.b.fadd(*self.same(x, y), flags=FAST)

    def mul(self, x: Any, y: Any) -> Any:
        return self.b.fmul(*self.same(x, y), flags=FAST)

    def call(self, name: str, *arguments: Any) -> Any:
        kind = arguments[0].type
        suffix = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        full = f"llvm.{name}.{suffix}f{64 if self.double else 32}"
        module = self.b.module
        function = module.globals.get(full)
        if function is None:
            function = ir.Function(module, ir.FunctionType(kind, [kind] * len(arguments)), full)
        return self.b.call(function, arguments)

    def at(self, base: Any, offset: Any, kind: Any = None) -> Any:
        address = self.b.gep(base, [offset])
        return address if kind is None or kind == self.scalar else self.b.bitcast(address, kind.as_pointer())

    def load(self, base: Any, offset: Any, kind: Any = None) -> Any:
        kind = self.vector if kind is None else kind
        return self.b.load(self.at(base, offset, kind), align=self.size)

    def store(self, x: Any, base: Any, offset: Any) -> None:
        self.b.store(x, self.at(base, offset, x.type), align=self.size)

    def across(self, x: Any) -> Any:
        """The sum of the lanes of a vector, by halves."""
        width = self.width
        while width > 1:
            width //= 2
            undefined = ir.Constant(x.type, ir.Undefined)
            low, high = (
                self.b.extract_element(x, I32(first)) if width == 1
                else self.b.shuffle_vector(x, undefined, ir.VectorType(I32, width)([*range(first, first + width)]))
                for first in (0, width)
            )  # fmt: skip
            x = self.b.fadd(low, high, flags=FAST)
        return x

    def minimum(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    def ceiling(self, x: Any, y: Any) -> Any:
        """x / y, rounded up, and 0 if x is negative."""
        least = self.b.sdiv(self.b.sub(self.b.add(x, y), self.integer(1)), y)
        return self.b.select(self.b.icmp_signed("<", x, self.integer(0)), self.integer(0), least)

    def loop(self, first: Any, end: Any, step: int, carried: list[Any], body: Callable[..., list[Any]]) -> list[Any]:
        """for index in range(first, end, step): carried = body(index, carried)"""
        b = self.b
        before = b.block
        head, inside, after = (b.append_basic_block(name) for name in ("head", "body", "end"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        values = [b.phi(value.type) for value in carried]
        b.cbranch(b.icmp_signed("<", index, end), inside, after)
        b.position_at_end(inside)
        results = body(index, values)
        following = b.add(index, self.integer(step))
        index.add_incoming(first, before)
        index.add_incoming(following, b.block)
        for value, start, result in zip(values, carried, results, strict=True):
            value.add_incoming(start, before)
            value.add_incoming(result, b.block)
        b.branch(head)
        b.position_at_end(after)
        return values

    def each(self, first: Any, end: Any, step: int, body: Callable[[Any], None]) -> None:
        """for index in range(first, end, step): body(index)"""

        def without_results(index: Any, _: list[Any]) -> list[Any]:
            body(index)
            return []

        self.loop(first, end, step, [], without_results)

    # The operations

    def exp(self, x: Any) -> Any:
        """e ** x, at most the largest finite number."""
        if self.double:
            limit, greatest = self.number(LARGEST_EXPONENT, x), self.number(LARGEST_FLOAT, x)
            return self.b.select(self.b.fcmp_ordered(">", x, limit), greatest, self.call("exp", x))
        b = self.b
        high, low = self.number(89.0, x), self.number(-176.06, x)  # beyond them it is above the largest, and 2 ** -254
        limited = self.b.select(b.fcmp_ordered(">", x, high), high, x)
        limited = self.b.select(b.fcmp_ordered("<", limited, low), low, limited)
        # Added to so large a number, x / log(2) is rounded: the last bits of the sum are the whole number, plus 254.
        shift = self.number(12582912.0 + 254, x)  # 1.5 * 2 ** 23
        shifted = self.fma(limited, self.number(1.4426950408889634, x), shift)
        whole = b.fsub(shifted, shift)
        r = self.fma(whole, self.number(-0.693145751953125, x), limited)
        r = self.fma(whole, self.number(-1.428606765330187e-06, x), r)
        # e ** r is 1 + r + r ** 2 * a polynomial: that of the least error for r from -log(2) / 2 to log(2) / 2.
        result = self.number(0.00139261761, x)
        for coefficient in (0.00836317307, 0.0416665547, 0.16666577, 0.5, 1.0, 1.0):
            result = self.fma(result, r, self.number(coefficient, x))
        # Times 2 ** whole, as two powers of 2 of half as many: each is a float, also where the result is subnormal.
        bits = b.bitcast(shifted, ir.VectorType(I32, x.type.count) if isinstance(x.type, ir.VectorType) else I32)
        half = b.lshr(bits, self.whole(1, bits))
        for exponent in (half, b.sub(bits, half)):
            result = b.fmul(result, b.bitcast(b.shl(exponent, self.whole(23, bits)), x.type))
        greatest = self.number(LARGEST_FLOAT32, x)
        return self.b.select(b.fcmp_ordered(">", result, greatest), greatest, result)

    def whole(self, value: int, like: Any) -> ir.Constant:
        return ir.Constant(like.type, [value] * like.type.count if isinstance(like.type, ir.VectorType) else value)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        return self.b.fadd(self.b.fmul(x, y, flags=("contract",)), z, flags=("contract",))

    def log(self, x: Any) -> Any:
        """The logarithm, and NaN of what has none."""
        positive = self.b.fcmp_ordered(">", x, self.number(0.0, x))
        return self.b.select(positive, self.call("log", x), self.number(float("nan"), x))

    def inverse(self, x: Any) -> Any:
        return self.b.fdiv(self.number(1.0, x), x)

    def whole_power(self, x: Any, exponent: int) -> Any:
        result = None
        while exponent:
            if exponent & 1:
                result = x if result is None else self.b.fmul(result, x)
            exponent >>= 1
            if exponent:
                x = self.b.fmul(x, x)
        return result

    def power(self, x: Any, k: float, checked: str) -> Any:
        """x ** k, and NaN where what is `checked` is not finite: "power", or "derivative", which is both."""
        b = self.b
        if k == 0:
            return b.fadd(b.fmul(x, self.number(0.0, x)), self.number(1.0, x))
        if k == int(k) and abs(k) <= 16:
            y = self.whole_power(x, int(k)) if k > 0 else self.whole_power(self.inverse(x), int(-k))
            test = y if k > 0 else None  # its derivative is finite if it is itself
        elif 2 * k == int(2 * k) and abs(k) <= 4:
            root = self.call("sqrt", x)
            y = self.whole_power(root if k > 0 else self.inverse(root), int(abs(2 * k)))
            test = None
        else:
            y, test = self.call("pow", x, self.number(k, x)), None
        if not checked:
            return y
        if checked == "power":
            test = y
        elif test is None:
            test = self.power(x, k - 1, "")
        y = b.fadd(y, b.fsub(test, test))
        return y if k < 0 or test is y else b.fadd(y, b.fsub(y, y))

    def less(self, operation: str, x: Any, y: Any) -> Any:
        """1 where x < y (or <=), else 0."""
        x, y = self.same(x, y)
        true = self.b.fcmp_ordered(operation, x, y)
        return self.b.select(true, self.number(1.0, x), self.number(0.0, x))


def structure_of(expression: Expression, leaf_of: dict[Any, Any]) -> tuple[Any, ...]:
    """The nodes of an expression as plain data: (operation, what, arguments). A load is what `leaf_of` says."""
    nodes = nodes_of(expression)
    place = {id(node): i for i, node in enumerate(nodes)}
    program = []
    for node in nodes:
        what = leaf_of[node.what] if node.operation == "load" else node.what
        program.append((node.operation, what, tuple(place[id(a)] for a in node.arguments)))
    return tuple(program)


def apply(build: Builder, operation: str, what: Any, arguments: list[Any], checked: str) -> Any:
    """One operation on LLVM values."""
    if operation == "+":
        return build.add(*arguments)
    if operation == "*":
        return build.mul(*arguments)
    if operation == "**":
        return build.power(arguments[0], what, checked)
    if operation in ("<", "<="):
        return build.less(operation, *arguments)
    return build.exp(arguments[0]) if operation == "exp" else build.log(arguments[0])


def function_type(double: bool) -> ir.FunctionType:
    number = (ir.DoubleType() if double else ir.FloatType()).as_pointer()
    index = I64.as_pointer()
    return ir.FunctionType(ir.VoidType(), [number, number, number, number, index, index, index])


class Kernel:
    """What all kernels have: a function, its pointers by space, and its arguments by name."""

    def __init__(self, module: ir.Module, name: str, shape: Any):
        function = ir.Function(module, function_type(shape.double), name)
        for argument in function.args:
            argument.add_attribute("noalias")
        self.shape = shape
        self.build = Builder(ir.IRBuilder(function.append_basic_block()), shape.double, shape.width)
        self.b = self.build.b
        self.pointer = dict(zip(SPACES, function.args, strict=True))
        self.argument = loaded(self.b, self.pointer[ARGUMENTS], shape.argument_names())


class NestKernel(Kernel):
    """The kernel of a nest: its loops, and in each loop what does not change further in."""

    def __init__(self, module: ir.Module, name: str, shape: NestShape):
        super().__init__(module, name, shape)
        self.vector_loop = next(i for i, loop in enumerate(shape.loops) if loop.axis < 0)
        self.first_summed = next((i for i, loop in enumerate(shape.loops) if loop.summed), len(shape.loops))
        self.depths: list[int] = []  # of each node of the program, the innermost loop in which it changes
        for operation, what, arguments in shape.program:
            inner = self.depth_of(shape.leaves[what]) if operation == "load" else -1
            self.depths.append(max((self.depths[a] for a in arguments), default=inner))
        self.values: list[Any] = [None] * len(shape.program)
        self.indices: list[Any] = []
        self.loops(0, [])
        self.b.ret_void()

    def depth_of(self, leaf: LeafShape) -> int:
        depth = max(leaf.loops, default=-1)
        if leaf.space in (CELLS, INTEGERS) or leaf.chooser is not None:
            depth = max(depth, self.vector_loop)
        return depth if leaf.chooser is None else max(depth, self.depth_of(leaf.chooser))

    # Loads and stores

    def offset(self, leaf: LeafShape, name: str) -> Any:
        """Where a load lies for the present indices, without the integer that chooses."""
        b, where = self.b, self.argument[f"{name} start"]
        for i in leaf.loops:
            stride, index = self.argument[f"{name} stride {i}"], self.indices[i]
            if leaf.table and self.shape.loops[i].axis == 0:
                where = b.add(where, b.load(b.gep(self.pointer[TABLES], [b.add(stride, index)])))
            else:
                where = b.add(where, b.mul(stride, index))
        return b.add(where, self.indices[self.vector_loop]) if leaf.space in (CELLS, INTEGERS) else where

    def chosen_offsets(self, leaf: LeafShape, name: str) -> list[tuple[ir.Constant, Any]]:
        """For each lane of a load that integers choose: its number and where it lies."""
        b, chooser = self.b, leaf.chooser
        assert chooser is not None
        first, of_integers = self.offset(leaf, name), self.offset(chooser, f"{name} chooser")
        found = []
        for lane in range(self.shape.width):
            integer = b.load(b.gep(self.pointer[INTEGERS], [b.add(of_integers, I64(lane))]))
            where = b.add(first, b.mul(integer, self.argument[f"{name} step"]))
            found.append((I32(lane), b.add(where, I64(lane)) if leaf.space == CELLS else where))
        return found

    def load(self, leaf: LeafShape, name: str) -> Any:
        build, base = self.build, self.pointer[leaf.space]
        if leaf.chooser is None:
            return build.load(base, self.offset(leaf, name), build.vector if leaf.space == CELLS else build.scalar)
        result = ir.Constant(build.vector, ir.Undefined)
        for lane, where in self.chosen_offsets(leaf, name):
            number = build.load(base, where, build.scalar)
            result = number if self.shape.width == 1 else self.b.insert_element(result, number, lane)
        return result

    def put(self, result: Any) -> None:
        """Store a result, or add it to what is there."""
        build, shape, target = self.build, self.shape, self.shape.target
        base, result = self.pointer[target.space], build.spread(result)
        if target.chooser is not None:
            for lane, where in self.chosen_offsets(target, "target"):
                number = result if shape.width == 1 else self.b.extract_element(result, lane)
                build.store(self.b.fadd(build.load(base, where, build.scalar), number), base, where)
            return
        where = self.offset(target, "target")
        if target.space == GRADIENTS:
            result = build.across(result)
        if shape.add:
            result = self.b.fadd(build.load(base, where, result.type), result)
        build.store(result, base, where)

    # Operations

    def compute(self, level: int) -> None:
        """Compute what changes in the loop of this level and in none further in."""
        for i, (operation, what, arguments) in enumerate(self.shape.program):
            if self.depths[i] != level:
                continue
            if operation == "load":
                self.values[i] = self.load(self.shape.leaves[what], f"load {what}")
            elif operation == "constant":
                self.values[i] = self.build.number(what)
            else:
                operands = [self.values[a] for a in arguments]
                self.values[i] = apply(self.build, operation, what, operands, self.shape.checked)

    def combine(self, so_far: Any, result: Any) -> Any:
        """The sum with one term more, or the largest with one candidate more."""
        b, result = self.b, self.build.spread(result)
        if self.shape.reduction != "largest":
            return self.build.add(so_far, result)
        greater = b.or_(b.fcmp_ordered(">", result, so_far), b.fcmp_unordered("uno", result, result))  # a NaN stays
        return b.select(b.and_(greater, b.fcmp_ordered("ord", so_far, so_far)), result, so_far)

    # Loops

    def loops(self, level: int, so_far: list[Any]) -> list[Any]:
        """The loops from a level on. The sum so far goes through those that are summed over."""
        self.compute(level - 1)
        if level == len(self.shape.loops):
            if so_far:
                return [self.combine(so_far[0], self.values[-1])]
            self.put(self.values[-1])
        elif level == self.first_summed:
            neutral = float("-inf") if self.shape.reduction == "largest" else 0.0
            self.put(*self.loop(level, [self.build.constant(neutral, self.build.vector)]))
        else:
            return self.loop(level, so_far)
        return []

    def loop(self, level: int, so_far: list[Any]) -> list[Any]:
        def body(index: Any, carried: list[Any]) -> list[Any]:
            self.indices.append(index)
            result = self.loops(level + 1, carried)
            self.indices.pop()
            return result

        step = self.shape.width if level == self.vector_loop else 1
        return self.build.loop(*self.range_of(level), step, so_far, body)

    def range_of(self, level: int) -> tuple[Any, Any]:
        """The first index of a loop and its end, within its bound."""
        b, build, loop = self.b, self.build, self.shape.loops[level]
        first, end = I64(0), self.argument[f"length {level}"]
        if 0 <= loop.below < level:
            rise = b.mul(self.argument[f"step {level}"], self.indices[loop.below])
            end = build.minimum(end, b.add(self.argument[f"constant {level}"], rise))
        if 0 <= loop.above < level:  # constant + step * index > the index of the bounded loop
            step = self.argument[f"step {level}"]
            beyond = b.sub(self.indices[loop.above], self.argument[f"constant {level}"])
            if loop.rising:
                first = build.ceiling(b.add(beyond, I64(1)), step)
            else:
                end = build.minimum(end, build.ceiling(b.neg(beyond), b.neg(step)))
        return first, end


# The arguments of the driver, each a 64-bit integer: pointers, counts, and offsets in the storage of a block.
FRAME = (
    "code", "steps", *SPACES[:-1], "block_size", "batch", "first_block", "end_block",
    "inputs", "input_count", "integers", "integer_count", "seed", "outputs", "output_count", "results",
    "width", "fill",
)  # fmt: skip
OUTPUT_SPACES = (CELLS, PARAMETERS, CONSTANTS)  # where an output may lie


@dataclass(frozen=True)
class DriverShape:
    """What the driver depends on."""

    double: bool

    def emit(self, module: ir.Module, name: str) -> None:
        DriverKernel(module, name, self.double)


class DriverKernel:
    """The function that runs a program on some blocks of a batch. It gets a pointer to a frame, as above."""

    def __init__(self, module: ir.Module, name: str, double: bool):
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64.as_pointer()]), name)
        self.build = Builder(ir.IRBuilder(function.append_basic_block()), double, 1)
        self.b = self.build.b
        self.kernel = function_type(double).as_pointer()
        number, index = self.build.scalar.as_pointer(), I64.as_pointer()
        self.frame = loaded(self.b, function.args[0], FRAME)
        numbers = (*SPACES[:4], "inputs", "results")
        self.pointer = {
            name: self.b.inttoptr(self.frame[name], number if name in numbers else index)
            for name in (*SPACES[:-1], "code", "inputs", "integers", "outputs", "results")
        }
        self.each(self.frame["end_block"], self.block, self.frame["first_block"])
        self.b.ret_void()

    def each(self, count: Any, body: Callable[[Any], None], first: Any = None) -> None:
        self.build.each(I64(0) if first is None else first, count, 1, body)

    def block(self, number: Any) -> None:
        begin = self.b.mul(number, self.frame["block_size"])
        self.each(self.frame["block_size"], lambda lane: self.copy_in(begin, lane))
        self.each(self.frame["steps"], self.run)
        self.each(self.frame["output_count"], lambda output: self.copy_out(begin, output))

    def copy_in(self, begin: Any, lane: Any) -> None:
        """Copy one example into its lane. The last one takes the place of those that are missing.

        Of its floats only if asked to `fill`: where gradients are summed, nothing may be infinite in a place that no
        example has. The seed of the backward pass is the share of the example in the mean.
        """
        b, build, frame = self.b, self.build, self.frame
        last = b.sub(frame["batch"], I64(1))
        example = b.add(begin, lane)
        real = b.icmp_signed("<=", example, last)
        row = b.select(real, example, last)
        filled = b.or_(real, b.icmp_signed("!=", frame["fill"], I64(0)))
        floats = b.select(filled, frame["input_count"], I64(0))
        self.copy("inputs", CELLS, b.mul(row, frame["input_count"]), floats, lane, build.size)
        self.copy("integers", INTEGERS, b.mul(row, frame["integer_count"]), frame["integer_count"], lane, 8)
        share = b.fdiv(build.number(1.0), b.sitofp(frame["batch"], build.scalar))
        build.store(b.select(real, share, build.number(0.0)), self.pointer[CELLS], b.add(frame["seed"], lane))

    def copy(self, source: str, target: str, start: Any, count: Any, lane: Any, size: int) -> None:
        """Copy the numbers of one example, which lie in a row, into its lane."""
        b = self.b

        def number(i: Any) -> None:
            value = b.load(b.gep(self.pointer[source], [b.add(start, i)]), align=size)
            place = b.add(b.mul(i, self.frame["block_size"]), lane)
            b.store(value, b.gep(self.pointer[target], [place]), align=size)

        self.each(count, number)

    def pair(self, table: str, i: Any) -> list[Any]:
        first = self.b.mul(i, I64(2))
        return [self.b.load(self.b.gep(self.pointer[table], [self.b.add(first, I64(j))])) for j in range(2)]

    def run(self, step: Any) -> None:
        """Call a kernel, whose address is in `code` beside that of its arguments."""
        address, arguments = self.pair("code", step)
        pointers = [self.pointer[space] for space in SPACES[:-1]]
        self.b.call(self.b.inttoptr(address, self.kernel), [*pointers, self.b.inttoptr(arguments, I64.as_pointer())])

    def copy_out(self, begin: Any, output: Any) -> None:
        """Copy one output of all examples of a block into the results."""
        b, build = self.b, self.build
        space, place = self.pair("outputs", output)
        base, stride = self.pointer[CELLS], b.zext(b.icmp_signed("==", space, I64(0)), I64)
        for i, other in enumerate(OUTPUT_SPACES[1:], 1):
            base = b.select(b.icmp_signed("==", space, I64(i)), self.pointer[other], base)
        target = b.add(b.mul(output, self.frame["width"]), begin)

        def lane_of(lane: Any) -> None:
            value = build.load(base, b.add(place, b.mul(stride, lane)), build.scalar)
            build.store(value, self.pointer["results"], b.add(target, lane))

        self.each(self.frame["block_size"], lane_of)
