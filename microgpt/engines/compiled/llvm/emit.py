"""How a loop nest becomes machine code: LLVM instructions, put together one by one.

A kernel serves every nest of the same structure: which operations on which loads, which loads move along which loops.
Lengths, strides and starts are its arguments, so models of all sizes share their kernels, and so do all layers of one.

The innermost numbers are the examples of a block: they lie side by side, so `width` of them go through a kernel in one
vector register (or a few). Where an axis of the nest lies beside them, in all that is read and written, it is walked
together with them.

Nothing may assume that there are no NaNs and infinities: a run that diverges must be seen to diverge. Nor may factors
be multiplied in another order: where exp has grown too large, a zero must meet it before anything else does.
"""

from collections.abc import Callable
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
from microgpt.value import LARGEST_EXPONENT, LARGEST_FLOAT

LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127
I64, I32, I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)
FAST = ("contract", "nsz")

# The pointers that every kernel gets: cells, parameters, their gradients, constants, integers, tables and arguments.
TABLES, ARGUMENTS = "t", "a"
SPACES = (CELLS, PARAMETERS, GRADIENTS, CONSTANTS, INTEGERS, TABLES, ARGUMENTS)


@dataclass(frozen=True)
class LeafShape:
    """What a kernel must know of a load: where it lies, and along which loops it moves."""

    space: str
    loops: tuple[int, ...]  # of the nest, the outermost first
    chosen: "LeafShape | None" = None
    table: bool = False


@dataclass(frozen=True)
class LoopShape:
    """A loop: over an axis, over the vectors, with a bound by the index of another loop."""

    axis: int  # -1: the vectors; 0: the first axis, along which tables are read; 1: any other
    summed: bool = False
    below: int = -1  # its index stays below constant + step * that of this loop
    above: int = -1  # this loop's index stays below constant + step * that of this one
    rising: bool = True  # the sign of the step


@dataclass(frozen=True)
class NestShape:
    """All that a kernel is made of."""

    loops: tuple[LoopShape, ...]
    leaves: tuple[LeafShape, ...]
    target: LeafShape
    program: tuple[Any, ...]  # the nodes of the expression: (operation, what, arguments)
    add: bool
    reduction: str
    checked: str  # where a power is NaN: "" nowhere, "power" where it is not finite, "derivative" where either is not
    width: int
    double: bool


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
        kind = self.scalar if like is None else like.type
        if isinstance(kind, ir.VectorType):
            return ir.Constant(kind, [ir.Constant(self.scalar, value)] * kind.count)
        return ir.Constant(kind, value)

    def spread(self, x: Any, width: int | None = None) -> Any:
        width = self.width if width is None else width
        if width == 1 or isinstance(x.type, ir.VectorType):
            return x
        kind = ir.VectorType(x.type, width)
        first = self.b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, width), [0] * width)
        return self.b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def same(self, x: Any, y: Any) -> tuple[Any, Any]:
        if isinstance(x.type, ir.VectorType) != isinstance(y.type, ir.VectorType):
            return self.spread(x), self.spread(y)
        return x, y

    def add(self, x: Any, y: Any) -> Any:
        return self.b.fadd(*self.same(x, y), flags=FAST)

    def mul(self, x: Any, y: Any) -> Any:
        return self.b.fmul(*self.same(x, y), flags=FAST)

    def select(self, condition: Any, x: Any, y: Any) -> Any:
        return self.b.select(condition, x, y)

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
        """The sum of the numbers in a vector."""
        if not isinstance(x.type, ir.VectorType):
            return x
        width = x.type.count
        while width > 1:
            half = width // 2
            low = ir.Constant(ir.VectorType(I32, half), list(range(half)))
            high = ir.Constant(ir.VectorType(I32, half), list(range(half, 2 * half)))
            if half == 1:
                first = self.b.extract_element(x, ir.Constant(I32, 0))
                return self.b.fadd(first, self.b.extract_element(x, ir.Constant(I32, 1)), flags=FAST)
            none = ir.Constant(x.type, ir.Undefined)
            x = self.b.fadd(self.b.shuffle_vector(x, none, low), self.b.shuffle_vector(x, none, high), flags=FAST)
            width = half
        return x

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

    # The operations

    def exp(self, x: Any) -> Any:
        """e ** x, at most the largest finite number."""
        if self.double:
            limit, greatest = self.number(LARGEST_EXPONENT, x), self.number(LARGEST_FLOAT, x)
            return self.select(self.b.fcmp_ordered(">", x, limit), greatest, self.call("exp", x))
        b = self.b
        high, low = self.number(89.0, x), self.number(-176.06, x)  # beyond them it is above the largest, and 2 ** -254
        limited = self.select(b.fcmp_ordered(">", x, high), high, x)
        limited = self.select(b.fcmp_ordered("<", limited, low), low, limited)
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
        return self.select(b.fcmp_ordered(">", result, greatest), greatest, result)

    def whole(self, value: int, like: Any) -> ir.Constant:
        return ir.Constant(like.type, [value] * like.type.count if isinstance(like.type, ir.VectorType) else value)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        return self.b.fadd(self.b.fmul(x, y, flags=("contract",)), z, flags=("contract",))

    def log(self, x: Any) -> Any:
        """The logarithm, and NaN of what has none."""
        positive = self.b.fcmp_ordered(">", x, self.number(0.0, x))
        return self.select(positive, self.call("log", x), self.number(float("nan"), x))

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
        return self.select(true, self.number(1.0, x), self.number(0.0, x))


def structure_of(expression: Expression, leaf_of: dict[Any, int]) -> tuple[Any, ...]:
    """The nodes of an expression as plain data: (operation, what, arguments), loads by their numbers."""
    nodes = nodes_of(expression)
    place = {id(node): i for i, node in enumerate(nodes)}
    program = []
    for node in nodes:
        what = leaf_of[node.what] if node.operation == "load" else node.what
        program.append((node.operation, what, tuple(place[id(a)] for a in node.arguments)))
    return tuple(program)


def function_type(double: bool) -> ir.FunctionType:
    number = (ir.DoubleType() if double else ir.FloatType()).as_pointer()
    index = I64.as_pointer()
    return ir.FunctionType(ir.VoidType(), [number, number, number, number, index, index, index])


def new_function(module: ir.Module, name: str, double: bool) -> tuple[ir.Function, dict[str, Any]]:
    function = ir.Function(module, function_type(double), name)
    for argument in function.args:
        argument.add_attribute("noalias")
    return function, dict(zip(SPACES, function.args, strict=True))


def emit_nest(module: ir.Module, name: str, shape: NestShape) -> None:
    """Write the kernel of a nest.

    Its arguments: how many numbers lie side by side; the length of each other loop, and constant and step of its bound
    if it has one; then of the target and of every leaf start, strides along its loops, and if an integer chooses the
    step of a choice and the same of that integer. A table takes the place of the stride along axis 0.
    """
    function, pointer = new_function(module, name, shape.double)
    build = Builder(ir.IRBuilder(function.append_basic_block()), shape.double, shape.width)
    b = build.b
    taken = 0

    def argument() -> Any:
        nonlocal taken
        taken += 1
        return b.load(b.gep(pointer[ARGUMENTS], [build.integer(taken - 1)]))

    lengths: list[Any] = []
    limits: dict[int, tuple[Any, Any]] = {}
    for i, loop in enumerate(shape.loops):
        lengths.append(argument())
        if loop.below >= 0 or loop.above >= 0:
            limits[i] = (argument(), argument())

    def read_leaf(leaf: LeafShape) -> dict[str, Any]:
        found = {"shape": leaf, "start": argument(), "strides": {i: argument() for i in leaf.loops}}
        if leaf.chosen is not None:
            found["step"] = argument()
            found["chosen"] = read_leaf(leaf.chosen)
        return found

    target = read_leaf(shape.target)
    leaves = [read_leaf(leaf) for leaf in shape.leaves]
    vector_level = next(i for i, loop in enumerate(shape.loops) if loop.axis < 0)

    def depth_of_leaf(leaf: LeafShape) -> int:
        """The innermost loop along which a load moves."""
        depth = max(leaf.loops, default=-1)
        if leaf.space in (CELLS, INTEGERS) or leaf.chosen is not None:
            depth = max(depth, vector_level)
        return max(depth, depth_of_leaf(leaf.chosen)) if leaf.chosen is not None else depth

    depths: list[int] = []
    for operation, what, arguments in shape.program:
        if operation == "load":
            depths.append(depth_of_leaf(shape.leaves[what]))
        else:
            depths.append(max((depths[a] for a in arguments), default=-1))
    values: list[Any] = [None] * len(shape.program)
    indices: list[Any] = []

    def offset(leaf: dict[str, Any]) -> Any:
        """Where a leaf is read, by the indices of the loops; without the choice of an integer."""
        where = leaf["start"]
        for i, stride in leaf["strides"].items():
            if leaf["shape"].table and shape.loops[i].axis == 0:
                entry = b.load(b.gep(pointer[TABLES], [b.add(stride, indices[i])]))
                where = b.add(where, entry)
            else:
                where = b.add(where, b.mul(stride, indices[i]))
        return b.add(where, indices[vector_level]) if leaf["shape"].space in (CELLS, INTEGERS) else where

    def chosen_offsets(leaf: dict[str, Any]) -> list[Any]:
        """The offset of each lane of a leaf that integers choose."""
        first, chooser = offset(leaf), offset(leaf["chosen"])
        found = []
        for lane in range(shape.width):
            integer = b.load(b.gep(pointer[INTEGERS], [b.add(chooser, build.integer(lane))]))
            where = b.add(first, b.mul(integer, leaf["step"]))
            found.append(b.add(where, build.integer(lane)) if leaf["shape"].space == CELLS else where)
        return found

    def load(leaf: dict[str, Any]) -> Any:
        base = pointer[leaf["shape"].space]
        if leaf["shape"].chosen is not None:
            result = ir.Constant(build.vector, ir.Undefined)
            for lane, where in enumerate(chosen_offsets(leaf)):
                number = build.load(base, where, build.scalar)
                result = number if shape.width == 1 else b.insert_element(result, number, ir.Constant(I32, lane))
            return result
        return build.load(base, offset(leaf), build.vector if leaf["shape"].space == CELLS else build.scalar)

    def compute(level: int) -> None:
        """All that does not change in the loops further in."""
        for i, (operation, what, arguments) in enumerate(shape.program):
            if depths[i] != level:
                continue
            if operation == "load":
                values[i] = load(leaves[what])
            elif operation == "constant":
                values[i] = build.number(what)
            else:
                values[i] = apply(build, operation, what, [values[a] for a in arguments], shape.checked)

    summed = [i for i, loop in enumerate(shape.loops) if loop.summed]
    first_summed = min(summed, default=len(shape.loops))
    to_gradient = shape.target.space == GRADIENTS and shape.target.chosen is None

    def put(result: Any) -> None:
        """Store a result, or add it."""
        base = pointer[shape.target.space]
        if shape.target.chosen is not None:
            for lane, where in enumerate(chosen_offsets(target)):
                number = result if shape.width == 1 else b.extract_element(build.spread(result), ir.Constant(I32, lane))
                build.store(b.fadd(build.load(base, where, build.scalar), number), base, where)
            return
        where = offset(target)
        result = build.across(build.spread(result)) if to_gradient else build.spread(result)
        if shape.add:
            result = b.fadd(build.load(base, where, result.type), result)
        build.store(result, base, where)

    def neutral() -> Any:
        kind = build.vector
        number = float("-inf") if shape.reduction == "largest" else 0.0
        return ir.Constant(kind, [ir.Constant(build.scalar, number)] * shape.width if shape.width > 1 else number)

    def combine(sofar: Any, result: Any) -> Any:
        result = build.spread(result)
        if shape.reduction == "largest":  # a NaN stays
            greater = b.or_(b.fcmp_ordered(">", result, sofar), b.fcmp_unordered("uno", result, result))
            return b.select(b.and_(greater, b.fcmp_ordered("ord", sofar, sofar)), result, sofar)
        return build.add(sofar, result)

    def nest(level: int, sofar: list[Any]) -> list[Any]:
        """The loops from a level on; the sum so far goes through those that are summed over."""
        compute(level - 1)
        if level == len(shape.loops):
            result = values[-1]
            if sofar:
                return [combine(sofar[0], result)]
            put(result)
            return []
        if level == first_summed:
            found = inner(level, [neutral()])
            put(found[0])
            return []
        return inner(level, sofar)

    def inner(level: int, sofar: list[Any]) -> list[Any]:
        loop = shape.loops[level]
        first, end = build.integer(0), lengths[level]
        if loop.below >= 0 and loop.below < level:
            constant, step = limits[level]
            end = minimum(b, end, b.add(constant, b.mul(step, indices[loop.below])))
        if loop.above >= 0 and loop.above < level:
            constant, step = limits[level]
            rest = b.sub(indices[loop.above], constant)  # constant + step * index > that of the bounded loop
            if loop.rising:
                least = b.sdiv(b.add(rest, step), step)
                first = b.select(b.icmp_signed("<", rest, build.integer(0)), build.integer(0), least)
            else:
                down = b.sub(build.integer(0), step)
                most = b.sdiv(b.add(b.sub(build.integer(0), rest), b.sub(down, build.integer(1))), down)
                end = minimum(b, end, b.select(b.icmp_signed(">=", rest, build.integer(0)), build.integer(0), most))

        def body(index: Any, carried: list[Any]) -> list[Any]:
            indices.append(index)
            result = nest(level + 1, carried)
            indices.pop()
            return result

        return build.loop(first, end, shape.width if loop.axis < 0 else 1, sofar, body)

    nest(0, [])
    b.ret_void()


def minimum(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    return b.select(b.icmp_signed("<", x, y), x, y)


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


# What the driver is told, each a 64-bit integer: pointers, counts, and places in the storage of a block.
FRAME = (
    "code", "steps", *SPACES[:-1], "block_size", "batch", "first_block", "end_block",
    "inputs", "input_count", "integers", "integer_count", "seed", "poison", "outputs", "output_count", "results",
    "width", "fill",
)  # fmt: skip
IN_CELLS, IN_PARAMETERS, IN_CONSTANTS = range(3)  # where an output lies


def emit_driver(module: ir.Module, name: str, double: bool) -> None:
    """Write the function that runs a program on some blocks of a batch. It gets a frame, as above.

    For each block it copies the examples in, side by side, with the last one in the place of those that are missing
    (of their floats only if asked to `fill`: where gradients are summed, nothing may be infinite in the empty places);
    runs the kernels, each with its address and that of its arguments in `code`; and copies the results out.
    """
    kind = function_type(double)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64.as_pointer()]), name)
    build = Builder(ir.IRBuilder(function.append_basic_block()), double, 1)
    b = build.b
    number, index = kind.args[0], I64.as_pointer()
    frame = {
        field: b.load(b.gep(function.args[0], [build.integer(i)])) for i, field in enumerate(FRAME)
    }  # fmt: skip
    pointer = {
        space: b.inttoptr(frame[space], index if space in (INTEGERS, TABLES) else number) for space in SPACES[:-1]
    }
    code, outputs = b.inttoptr(frame["code"], index), b.inttoptr(frame["outputs"], index)
    inputs, integers = b.inttoptr(frame["inputs"], number), b.inttoptr(frame["integers"], index)
    results = b.inttoptr(frame["results"], number)
    block_size, last = frame["block_size"], b.sub(frame["batch"], build.integer(1))
    share = b.fdiv(build.number(1.0), b.sitofp(frame["batch"], build.scalar))

    def each(count: Any, body: Callable[[Any], None], first: Any = None) -> None:
        def inside(i: Any, _: list[Any]) -> list[Any]:
            body(i)
            return []

        build.loop(build.integer(0) if first is None else first, count, 1, [], inside)

    def block(number_of_block: Any) -> None:
        begin = b.mul(number_of_block, block_size)

        def example(lane: Any) -> None:
            wanted = b.add(begin, lane)
            real = b.icmp_signed("<=", wanted, last)
            row = b.select(real, wanted, last)
            filled = b.or_(real, b.icmp_signed("!=", frame["fill"], build.integer(0)))
            floats = b.select(filled, frame["input_count"], build.integer(0))
            for source, count, copied, target, size in (
                (inputs, frame["input_count"], floats, pointer[CELLS], build.size),
                (integers, frame["integer_count"], frame["integer_count"], pointer[INTEGERS], 8),
            ):
                start = b.mul(row, count)

                def copy(
                    i: Any, source: Any = source, target: Any = target, start: Any = start, size: int = size
                ) -> None:
                    value = b.load(b.gep(source, [b.add(start, i)]), align=size)
                    b.store(value, b.gep(target, [b.add(b.mul(i, block_size), lane)]), align=size)

                each(copied, copy)
            seed = b.select(real, share, build.number(0.0))
            build.store(seed, pointer[CELLS], b.add(frame["seed"], lane))
            build.store(build.number(0.0), pointer[CELLS], b.add(frame["poison"], lane))

        each(block_size, example)

        def step(i: Any) -> None:
            entry = b.mul(i, build.integer(2))
            address = b.load(b.gep(code, [entry]))
            arguments = b.load(b.gep(code, [b.add(entry, build.integer(1))]))
            b.call(b.inttoptr(address, kind.as_pointer()), [*pointer.values(), b.inttoptr(arguments, index)])

        each(frame["steps"], step)

        def output(i: Any) -> None:
            entry = b.mul(i, build.integer(2))
            where = b.load(b.gep(outputs, [entry]))
            place = b.load(b.gep(outputs, [b.add(entry, build.integer(1))]))
            target = b.add(b.mul(i, frame["width"]), begin)

            def lane_of(lane: Any) -> None:
                at = b.add(target, lane)
                for space, from_space in ((IN_CELLS, CELLS), (IN_PARAMETERS, PARAMETERS), (IN_CONSTANTS, CONSTANTS)):
                    with b.if_then(b.icmp_signed("==", where, build.integer(space))):
                        cell = b.add(place, lane) if from_space == CELLS else place
                        value = build.load(pointer[from_space], cell, build.scalar)
                        poison = build.load(pointer[CELLS], b.add(frame["poison"], lane), build.scalar)
                        build.store(b.fadd(value, poison), results, at)

            each(block_size, lane_of)

        each(frame["output_count"], output)

    each(frame["end_block"], block, frame["first_block"])
    b.ret_void()
