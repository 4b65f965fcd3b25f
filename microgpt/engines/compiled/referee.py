"""The referee: a compiled function is used only after it has computed what the function itself computes.

The function runs as it stands, on plain numbers, for one example. The compiled function must give the same results in
double precision. If it does not, an error names the first source line whose numbers differ.

Its gradient must be the slope of the compiled loss, which needs no backward pass: so it costs no run of the function.
Where it is not, the function runs on Values, which decide: a loss with a `largest` has another slope, by definition.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from microgpt.engines.collector import collector_paused
from microgpt.engines.compiled.record import CALCULATES, KEPT, Argument, RecordedScalar, RecordingError
from microgpt.engines.compiled.recorded_numbers import numbers_of
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.scalar import ScalarEngine
from microgpt.engines.tracing import leaves, plain, trace, where
from microgpt.engines.trees import map_arrays, map_numbers, unflatten, vector_of
from microgpt.errors import DisagreementError, InputError
from microgpt.value import Value

OPERATIONS = 2_000_000  # more take over half a second, and are verified on request only
TOLERANCE = 1e-9  # absolute below 1, relative above
NUDGES = 3  # trials of how far results move if each number changes in its last digit
EXAMPLES = 4  # at most, of which the gradient is verified
ASIDE = 1e-3  # how far beside the parameters a gradient is verified, where none is 0, and no two are equal by chance
STEPS = (1e-6, 1e-7, 1e-4)  # of a slope: a shorter one for edges nearby, a longer one for rounding
PROMISED = {"float32": 2e-6, "float64": 1e-7}  # how exactly a gradient promises a slope
TINY = 1e-12  # of a gradient

# The mean loss of some examples and, if that is wanted, its gradient, flat. In the precision of the user's parameters
# it takes the machine code that runs, and in double precision, where that is another, code for this alone.
CompiledLoss = Callable[[Any, bool], tuple[float, np.ndarray]]


class UndefinedError(Exception):
    """The function has no value for this example."""


def verify(
    function: Callable[..., Any], params: Any, example: tuple[Any, ...], arguments: list[Argument], found: np.ndarray,
    asked_kind: str = "",
) -> bool:  # fmt: skip
    """Whether a function gives the results that were found; False if it has none for this example.

    Args:
        function: of the parameters and one example.
        params: the nesting of the parameters, float arrays. example: one row of each argument, as nested lists.
        arguments: the name, "int" or "float", and shape of each.
        found: the compiled function's results for this example, flat, in double precision.
        asked_kind: the line at which the function asks whether a scalar is a float or a Value, if it does.

    Raises DisagreementError if the results differ, and InputError if the function does not repeat its own.
    """
    numbers = map_arrays(lambda array: np.asarray(array, np.float64), params)
    try:
        expected = results_of(function, numbers, example)
        if close(found, expected, TOLERANCE):
            return True
        # On Values a result is also undefined where only a derivative is not finite.
        if close(found, results_of(function, numbers, example, Value), TOLERANCE):
            if asked_kind:
                raise InputError(
                    f"on floats the function gives {shown(expected, found)} is what it gives on Values: at "
                    f"{asked_kind} it asks which of these a scalar is, and no result may depend on that"
                )
            return True  # a float32 of numpy rounds a float that it meets, but not a Value
        again = results_of(function, numbers, example)
        if not np.array_equal(again, expected, equal_nan=True):
            raise InputError(
                f"the function gives {shown(again, expected)} for the same numbers, one call after the other: "
                "it must not depend on random numbers or on earlier calls; pass what changes as an argument"
            )
        if close(found, results_of(function, numbers, map_numbers(value_of_float, list(example)), Value), TOLERANCE):
            raise InputError(
                f"the function gives {shown(expected, found)} is exact: a number of numpy's float32 or float16 rounds "
                "the floats of an example that it meets; make such constants float64, or write float(c)"
            )
        moved = [results_of(function, nudged(numbers, seed), example) for seed in range(NUDGES)]
    except UndefinedError:
        return False
    sensitivity = max([float(np.abs(one - expected).max(initial=0.0)) for one in moved])
    if close(found, expected, TOLERANCE + 1000 * sensitivity):
        return True
    raise DisagreementError(
        f"the compiled function gives {shown(found, expected)} is right: their numbers part "
        f"{first_difference(function, numbers, example, arguments)}; this is a fault of the compiler, and "
        'engine="scalar" computes it rightly'
    )


def results_of(function: Callable[..., Any], numbers: Any, example: tuple[Any, ...], scalar: Any = float) -> np.ndarray:
    """The results of a function for one example, flat. Raises UndefinedError if there are none."""
    try:
        with collector_paused():
            params = map_arrays(lambda array: map_numbers(scalar, array.tolist()), numbers)
            flat = list(scalars_in(function(params, *copied(example))))
    except (ArithmeticError, ValueError):
        raise UndefinedError from None
    except RecordingError:
        raise InputError(KEPT) from None
    except (TypeError, AttributeError):  # it asks for more than floats have, such as x.exp()
        if scalar is Value:
            raise
        return results_of(function, numbers, example, Value)
    if any([type(x) is RecordedScalar for x in flat]):
        raise InputError(KEPT)
    if any([isinstance(x, complex) for x in flat]):
        raise UndefinedError
    return np.array([plain(x) for x in flat], np.float64)


def verify_gradient(
    function: Callable[..., Any], numbers: Any, arrays: list[np.ndarray], dtype: Any, compiled: CompiledLoss
) -> bool:
    """Whether the gradient of a compiled loss is right; False if the function has none for these examples.

    Args:
        function: of the parameters and one example.
        numbers: the parameters, in double precision. dtype: that in which they are given.
        arrays: a batch of some examples.
        compiled: the compiled loss for these examples.

    Raises DisagreementError if it is wrong.
    """
    point = vector_of(numbers)
    drawn = np.random.default_rng(0).uniform(-1, 1, point.size)
    aside = np.where(point == 0, drawn * ASIDE, point * (1 + drawn * ASIDE)).astype(dtype).astype(np.float64)
    sizes = np.where(point == 0, 1.0, np.abs(point)) * (1 + drawn / 2)

    def loss(vector: np.ndarray) -> float:
        return compiled(unflatten(vector, numbers), False)[0]

    with np.errstate(all="ignore"):
        for kind in dict.fromkeys([np.dtype(dtype), np.dtype(np.float64)]):
            there = map_arrays(lambda array, kind=kind: array.astype(kind), unflatten(aside, numbers))
            if has_slope(loss, aside, sizes, compiled(there, True)[1], PROMISED[kind.name]):
                return True
        for vector in (aside, point):
            try:
                compare_gradients(function, unflatten(vector, numbers), arrays, compiled)
                return True
            except UndefinedError:
                pass
    return False


def has_slope(
    loss: Callable[[np.ndarray], float], point: np.ndarray, sizes: np.ndarray, gradient: np.ndarray, tolerance: float
) -> bool:
    """Whether a loss changes by what its gradient promises, along a direction of these sizes in which it grows."""
    direction = np.copysign(sizes, gradient)
    promised = float(np.add.reduce(gradient * direction))
    for step in STEPS:
        above, below = loss(point + step * direction), loss(point - step * direction)
        slope, noise = (above - below) / (2 * step), 1e-14 * abs(above) / step
        scale = max(abs(slope), abs(promised))
        if slope == promised or (noise <= 1e-3 * scale and abs(slope - promised) <= tolerance * scale + noise):
            return True
    return False


def compare_gradients(
    function: Callable[..., Any], numbers: Any, arrays: list[np.ndarray], compiled: CompiledLoss
) -> None:
    """Raise DisagreementError if a compiled gradient is not that of Values, and UndefinedError if these have none."""

    def on_values(numbers: Any) -> np.ndarray:
        try:
            return vector_of(ScalarEngine(function).value_and_grad(numbers, *arrays)[1])
        except (ArithmeticError, ValueError):
            raise UndefinedError from None

    found, expected = compiled(numbers, True)[1], on_values(numbers)
    apart = np.where(np.isfinite(found) | np.isfinite(expected), np.abs(found - expected), 0.0)
    apart[np.isnan(apart)] = np.inf
    near = TINY + TOLERANCE * np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    if (apart <= near).all():
        return
    moved = [np.nanmax(np.abs(on_values(nudged(numbers, seed)) - expected), initial=0.0) for seed in range(NUDGES)]
    if (apart <= near + 1000 * max(moved)).all():
        return
    place, names = int(apart.argmax()), list[str]()
    leaves(numbers, "params", lambda _, name: names.append(name))
    raise DisagreementError(
        f"the compiled gradient of {names[place]} is {found[place]:.12g} where {expected[place]:.12g} is right, near "
        "the given parameters and for the first rows of the batch; this is a fault of the compiler, and "
        'engine="scalar" computes it rightly'
    )


def value_of_float(x: Any) -> Any:
    return Value(x) if isinstance(x, float) else x


def copied(tree: Any) -> Any:
    """The same nesting of tuples and lists, made anew."""
    return type(tree)(map(copied, tree)) if isinstance(tree, (list, tuple)) else tree


def scalars_in(result: Any) -> Iterator[Any]:
    """The scalars of a result, in the order of the outputs of a record."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        for entry in result:
            yield from scalars_in(entry)
    else:
        yield result


def close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """Whether two vectors are equal within a tolerance, relative above 1. Numbers that are not finite are equal."""
    if found.shape != expected.shape:
        return False
    with np.errstate(all="ignore"):
        near = np.abs(found - expected) <= tolerance * np.maximum(1.0, np.abs(expected))
    return bool((near | (found == expected) | (~np.isfinite(found) & ~np.isfinite(expected))).all())


def shown(found: np.ndarray, expected: np.ndarray) -> str:
    """The two numbers that are farthest apart."""
    if found.shape != expected.shape:
        return f"{found.size} results where {expected.size}"
    with np.errstate(all="ignore"):
        distance = np.abs(found - expected)
    i = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
    return f"{found[i]:.12g} where {expected[i]:.12g}"


def nudged(numbers: Any, seed: int) -> Any:
    """The parameters with every number changed in its last digit."""
    rng = np.random.default_rng(seed)
    return map_arrays(lambda array: array * (1 + 2.0**-52 * rng.choice([-1, 1], array.shape)), numbers)


def first_difference(
    function: Callable[..., Any], numbers: Any, example: tuple[Any, ...], arguments: list[Argument]
) -> str:
    """The first line for which a number was recorded that the function itself does not compute there."""
    shapes = map_arrays(lambda array: array.shape, numbers)
    record = record_function(function, shapes, arguments, with_sources=True)
    recorded: dict[tuple[str, int], list[np.ndarray]] = {}
    given: dict[str, list[np.ndarray]] = {"int": [], "float": []}
    for (_, kind, _), part in zip(arguments, example, strict=True):
        given[kind].append(np.ravel(part))
    integers = np.concatenate([np.zeros(0, np.int64), *given["int"]]).astype(np.int64)
    floats = np.concatenate([np.zeros(0), *given["float"]])
    for row, values in enumerate(numbers_of(record, vector_of(numbers), integers, floats)):
        if record.kind[row] in CALCULATES and record.sources is not None:
            recorded.setdefault(record.sources[row], []).append(np.ravel(values))
    computed: dict[Any, list[Any]] = {}
    for step in trace(function, numbers, example).steps:
        computed.setdefault(step.place, []).append(step)
    for place, steps in computed.items():
        known = np.array([plain(step) for step in steps])
        mine = np.concatenate(recorded.get(place, [np.zeros(0)]))
        if not all([is_among(x, known) for x in mine]):
            return f"at {where(steps[0])}"
    return "after the last line of the source"


def is_among(x: float, known: np.ndarray) -> bool:
    """Whether a number is among those known, up to rounding."""
    with np.errstate(all="ignore"):
        return bool((np.abs(known - x) <= 1e-6 * np.maximum(1e-6, np.abs(known))).any() or not np.isfinite(x))
