"""What an instruction computes for each index of its axes: an expression of loads, constants and the operations.

Expressions calculate like scalars, so the functions of value.py take them: `differentiate` computes one with `Value`s
around its loads, calls `backward()`, and finds the gradients as expressions again. The derivative rules of the five
operations stand in value.py and nowhere else.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import is_
from typing import Any, TypeVar

import numpy as np

from microgpt.value import Scalar, Value

# Where a number lies: in the cells of the examples, among the parameters, their gradients, the constants, or (an
# integer that chooses) among the integers of the examples.
CELLS, PARAMETERS, GRADIENTS, CONSTANTS, INTEGERS = "x", "p", "g", "c", "i"


Thing = TypeVar("Thing")


def replace(thing: Thing, **changes: Any) -> Thing:
    """A dataclass with some fields changed, as `dataclasses.replace` gives it, in a fraction of the time."""
    new = object.__new__(type(thing))
    vars(new).update(vars(thing), **changes)
    return new


@dataclass(frozen=True)
class Load:
    """A number that lies somewhere: at `start + sum of stride * index`, over the axes of a loop nest.

    With `chooser`, the place of an integer of the example for each index, `step` times that integer is added, which
    lies below `choices`. With `table`, the starts are given one by one for axis 0.
    """

    space: str
    start: int
    strides: tuple[int, ...]
    chooser: "Load | None" = None
    step: int = 0
    choices: int = 1
    table: "Table | None" = None

    def __hash__(self) -> int:
        return hash((self.start, self.strides))


class Table:
    """Starts that lie in no grid. Two are the same if they are one object, or hold the same."""

    def __init__(self, starts: np.ndarray):
        self.starts = starts
        self._key = starts.tobytes()

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Table) and self._key == other._key


Structure = tuple[tuple[tuple[str, Any, tuple[int, ...]], ...], tuple[Load, ...]]  # see structure_of


class Expression(Scalar):
    """A node of an expression.

    Nodes whose arguments are the same objects are equal if their keys are. `rebuilt` makes one object of all that are
    equal, from the leaves up (hash-consing).
    """

    __slots__ = ("arguments", "key", "nodes", "operation", "structure", "what")

    def __init__(self, operation: str, arguments: "tuple[Expression, ...]" = (), what: Any = None):
        self.operation = operation  # "load", "constant", "+", "*", "**", "exp", "log", "<", "<=" or "where"
        self.arguments = arguments
        self.what = what  # the Load, the constant or the exponent
        self.key = (operation, what, *[id(argument) for argument in arguments])
        self.nodes: tuple[Expression, ...] = ()  # itself after all that it is made of, once someone has asked
        self.structure: Structure | None = None  # so, too

    def __add__(self, other: Any) -> "Expression":
        if is_number(other, 0.0):
            return self
        if is_number(self, 0.0):
            return as_expression(other)
        return Expression("+", (self, as_expression(other)))

    def __mul__(self, other: Any) -> "Expression":
        if is_number(other, 1.0):
            return self
        if is_number(self, 1.0):
            return as_expression(other)
        other = as_expression(other)
        if self.operation == "constant" and other.operation == "constant":
            return constant(self.what * other.what)
        if other.operation == "constant" and self.operation == "*" and self.arguments[1].operation == "constant":
            return self.arguments[0] * (self.arguments[1].what * other.what)
        if self.operation == "constant":
            self, other = other, self
        return Expression("*", (self, other))

    def __pow__(self, exponent: float) -> "Expression":
        if exponent == 1:
            return self
        return Expression("**", (self,), float(exponent))

    def __lt__(self, other: Any) -> "Expression":
        return Expression("<", (self, as_expression(other)))

    def __le__(self, other: Any) -> "Expression":
        return Expression("<=", (self, as_expression(other)))

    def __gt__(self, other: Any) -> "Expression":
        return as_expression(other) < self

    def __ge__(self, other: Any) -> "Expression":
        return as_expression(other) <= self

    def lift(self, x: Any) -> "Expression":
        return as_expression(x)

    def exp(self) -> "Expression":
        return Expression("exp", (self,))

    def log(self) -> "Expression":
        return Expression("log", (self,))


class Promised(Expression):
    """An expression of which only the structure is known, until someone looks at its nodes."""

    __slots__ = ()

    def __init__(self, structure: Structure):
        self.structure = structure

    def __getattr__(self, name: str) -> Any:  # which Python calls for what is not there yet
        if name not in Expression.__slots__:
            raise AttributeError(name)
        assert self.structure is not None
        program, loads = structure = self.structure
        nodes = list[Expression]()
        for operation, what, arguments in program:
            node: Expression = object.__new__(Expression) if len(nodes) + 1 < len(program) else self
            what = loads[what] if operation == "load" else what
            Expression.__init__(node, operation, tuple([nodes[i] for i in arguments]), what)
            nodes.append(node)
        self.nodes, self.structure = tuple(nodes), structure
        return getattr(self, name)


def where(condition: Expression, a: Any, b: Any) -> Expression:
    """a where the condition is not 0, else b."""
    a, b = as_expression(a), as_expression(b)
    if condition.operation == "constant":
        return a if condition.what != 0 else b
    return a if a.key == b.key else Expression("where", (condition, a, b))


def constant(number: float) -> Expression:
    return Expression("constant", (), float(number))


def as_expression(x: Any) -> Expression:
    return x if isinstance(x, Expression) else constant(x)


def is_number(x: Any, number: float) -> bool:
    if isinstance(x, Expression):
        return x.operation == "constant" and x.what == number
    return bool(x == number)


def loads_of(expression: Expression) -> list[Load]:
    """The different loads of an expression, in order."""
    if expression.structure is not None:
        return [*expression.structure[1]]
    return [*dict.fromkeys([node.what for node in nodes_of(expression) if node.operation == "load"])]


def has_tables(loads: Iterable[Load]) -> bool:
    """Whether tables say where one of these loads lies, or what chooses in it."""
    return any(load.table is not None or (load.chooser and load.chooser.table) for load in loads)


def nodes_of(expression: Expression) -> tuple[Expression, ...]:
    """All nodes of an expression, arguments first."""
    if not expression.nodes:
        order: dict[Expression, None] = {}
        stack = [(expression, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                order[node] = None
            elif node.nodes:
                order.update(dict.fromkeys(node.nodes))
            elif node not in order:
                stack.append((node, True))
                stack.extend([(argument, False) for argument in reversed(node.arguments)])
        expression.nodes = tuple(order)
    return expression.nodes


def structure_of(expression: Expression) -> Structure:
    """The nodes of an expression as plain data, (operation, what, arguments), and the different loads in it, in order.

    The `what` of a load is its number among the loads.
    """
    if expression.structure is None:
        loads: dict[Load, int] = {}
        place: dict[Expression, int] = {}
        program = []
        for node in nodes_of(expression):
            what = loads.setdefault(node.what, len(loads)) if node.operation == "load" else node.what
            program.append((node.operation, what, tuple([place[argument] for argument in node.arguments])))
            place[node] = len(place)
        expression.structure = tuple(program), tuple(loads)
    return expression.structure


def shared(expression: Expression, known: dict[Any, Expression]) -> Expression:
    """The same expression of nodes in `known`, where each has its key and itself as keys."""
    done: dict[Expression, Expression] = {}
    for node in nodes_of(expression):
        if node not in known:
            arguments = tuple([done[argument] for argument in node.arguments])
            same = all(map(is_, arguments, node.arguments))
            new = node if same else Expression(node.operation, arguments, node.what)
            done[node] = found = known.setdefault(new.key, new)
            known[found] = found
        else:
            done[node] = node
    return done[expression]


def rebuilt(expression: Expression, leaf: Callable[[Load], Expression], known: dict[Any, Expression]) -> Expression:
    """The same expression with others in place of its loads. Nodes that are the same become one, kept in `known`."""
    done: dict[int, Expression] = {}
    for node in nodes_of(expression):
        if node.operation == "load":
            new = leaf(node.what)
        elif node.arguments:
            new = Expression(node.operation, tuple([done[id(a)] for a in node.arguments]), node.what)
        else:
            new = node
        done[id(node)] = known.setdefault(new.key, new)
    return done[id(expression)]


def text_of(expression: Expression, name: Callable[[Load], str]) -> str:
    """An expression as a formula. `name` tells how a load is written."""
    if expression.operation == "load":
        return name(expression.what)
    if expression.operation == "constant":
        return f"{expression.what:.4g}" if expression.what >= 0 else f"({expression.what:.4g})"
    inner = [text_of(argument, name) for argument in expression.arguments]
    if expression.operation == "*":
        whole = [argument.operation not in ("+", "**", "<", "<=") for argument in expression.arguments]
        return "·".join([one if alone else f"({one})" for one, alone in zip(inner, whole, strict=True)])
    if expression.operation == "**":
        return f"({inner[0]}) ** {expression.what:g}"
    if expression.operation == "where":
        return f"({inner[1]} if {inner[0]} else {inner[2]})"
    return f" {expression.operation} ".join(inner) if len(inner) > 1 else f"{expression.operation}({inner[0]})"


class Guarded:
    """A derivative: a gradient of 0 stays 0, even if the derivative is no finite number."""

    def __init__(self, derivative: Any):
        self.derivative = derivative

    def __mul__(self, gradient: Any) -> Expression:
        found = as_expression(self.derivative * gradient)
        safe = not isinstance(self.derivative, Expression) or is_number(gradient, 1.0) or is_finite(self.derivative)
        return found if safe else where(gradient, found, 0.0)


class Selected:
    """The derivative of a choice to one of both: the gradient where that one is chosen, else 0."""

    def __init__(self, condition: Expression, first: bool):
        self.condition, self.first = condition, first

    def __mul__(self, gradient: Any) -> Expression:
        return where(self.condition, *((gradient, 0.0) if self.first else (0.0, gradient)))


def is_finite(derivative: Expression) -> bool:
    """Whether this is finite by its form: a constant, or a parameter, which may only diverge."""
    return derivative.operation == "constant" or (
        derivative.operation == "load" and derivative.what.space == PARAMETERS
    )


def choice_of(condition: Expression, choices: list[Any]) -> Value:
    """A choice among Values and plain numbers, as a Value."""
    data = where(condition, *[one.data if isinstance(one, Value) else one for one in choices])
    found = [(one, i) for i, one in enumerate(choices) if isinstance(one, Value)] or [(Value(0.0), 0)]  # of numbers
    derivatives = [Selected(condition, i == 0) for _, i in found]
    return Value(data, "where", tuple([one for one, _ in found]), tuple(derivatives))


def evaluated(
    expression: Expression, leaf: Callable[[Load], Any], choice: Callable[[Expression], Any], guarded: bool
) -> Any:
    """What the operations of an expression give on Values; `choice` makes one of a comparison.

    With `guarded`, no derivative makes something else of a gradient of 0.
    """
    done: dict[int, Any] = {}
    for node in nodes_of(expression):
        if node.operation == "load":
            result = leaf(node.what)
        elif node.operation == "constant":
            result = node.what
        elif node.operation in ("<", "<="):
            result = choice(node)
        elif node.operation == "where":
            result = choice_of(node.arguments[0], [done[id(one)] for one in node.arguments[1:]])
        else:
            first, *rest = (done[id(argument)] for argument in node.arguments)
            if node.operation == "+":
                result = first + rest[0]
            elif node.operation == "*":
                result = first * rest[0]
            elif node.operation == "**":
                result = first**node.what
            else:
                result = getattr(first, node.operation)()
            if guarded and isinstance(result, Value):
                result.derivatives = tuple(map(Guarded, result.derivatives))  # type: ignore[arg-type]
        done[id(node)] = result
    return done[id(expression)]


def differentiate(
    expression: Expression, gradient: Expression, wanted: set[Load], guarded: bool
) -> dict[Load, Expression]:
    """What each wanted load gets of the gradient of an expression, by the chain rule as value.py has it.

    With `guarded`, that is 0 where the gradient is 0, even if a derivative is no finite number.
    """
    leaves: dict[Any, Value] = {}

    def leaf(key: Any, data: Expression) -> Value:
        if key not in leaves:
            value = leaves[key] = object.__new__(Value)  # a leaf whose number is an expression
            value.data, value.grad, value.operation, value.inputs, value.derivatives = data, 0.0, "", (), ()  # type: ignore[assignment]
        return leaves[key]

    result = evaluated(
        expression, lambda load: leaf(load, Expression("load", (), load)), lambda one: leaf(id(one), one), guarded
    )
    (result * leaf("gradient", gradient)).backward()
    return {load: as_expression(leaves[load].grad) for load in wanted if load in leaves}
