"""From a function of scalars, for one example, to arrays, for a batch: `value_and_grad` and `evaluate`.

>>> def loss(params, x, y):  # plain Python on scalars, for one example
...     return (params["w"] * x + params["b"] - y) ** 2
>>> step = value_and_grad(loss)
>>> step({"w": np.array(0.5), "b": np.array(0.0)}, np.array([1.0, 2.0]), np.array([3.0, 5.0]))
(11.125, {'w': array(-10.5), 'b': array(-6.5)})

`params` is any nesting of dicts and lists of float arrays. Each other argument is an array whose first axis is the
batch: the function sees one row of it, as (nested lists of) plain integers or floats.
"""

from collections.abc import Callable
from numbers import Real
from operator import attrgetter, is_not
from types import FunctionType
from typing import Any

import numpy as np

from microgpt.engines.collector import collector_paused
from microgpt.engines.trees import (
    check_form,
    checked_parameters,
    checked_result,
    in_new_lists,
    map_arrays,
    map_numbers,
    precision,
    rows,
    stacked,
)
from microgpt.errors import InputError
from microgpt.learning.training import adam_in_chunks
from microgpt.value import Value

ENGINES = ("compiled", "scalar", "torch")
get_grad = attrgetter("grad")
CALLS_BACKWARD = (
    "the loss calls backward() or sets the grad of a parameter, which would mix two gradients: return the loss alone; "
    "for a derivative within a loss see docs/library.md, derivatives of derivatives"
)
CHANGES_DATA = (
    "the loss changes the data of a parameter, which later examples would see: "
    "calculate with params[...] and return the loss alone"
)


def value_and_grad(
    loss: Callable[..., Any],
    engine: str = "compiled",
    threads: int | None = None,
    device: str | None = None,
    torch_compile: bool = False,
    verify: bool | None = None,
) -> Callable[..., tuple[float, Any]]:
    """Turn the loss of one example into a function of (params, *arrays) that returns (mean loss, gradients).

    The mean is over the batch. The gradients are arrays in the nesting, shapes and dtypes of the parameters, which are
    of float32 or float64. Raises TypeError or InputError (a ValueError), naming the argument, for arrays that do not
    fit the above; TypeError if the loss is no single scalar, does with a number what none of the five operations
    does, or calls `backward` itself; and IndexError for an integer beyond the list that it chooses from. `items[-1]`
    is the last, as in all of Python; but an integer of an example that is negative is refused. (Not in `items[i]` by
    the engine "scalar", which leaves that to Python; when the others read it they do not know i yet.)

    The engine "scalar" calls the loss on Values, example by example, in double precision: to be understood. The engine
    "compiled" records it once for each shape of example and runs it as array instructions, in the precision of the
    parameters, on `threads` threads (None: one a core): to be fast. The results do not depend on the number of threads.
    What a recorded function reads besides its arguments (a global, a closed-over setting, an attribute) stays as it was
    when it was recorded; a new `value_and_grad` records it anew. Where "scalar" raises ValueError, for the logarithm of
    a number that is not positive or a power that is not finite, the others give numbers that are not finite.

    What was recorded is verified: the first time that a shape is met, the first example also goes through the function
    itself, on plain numbers, and must give the same loss to 1e-9. DisagreementError, with the line, if it does not;
    InputError if the function does not repeat its own result. `verify` says what to verify: None for functions of at
    most two million operations an example, True for all, False for none.

    The engine "torch" runs the same instructions on PyTorch, on the `device` "cpu", "cuda" or "mps" (None: a GPU if
    there is one), as they stand or, with `torch_compile`, compiled once more by PyTorch, which takes minutes. Raises
    InputError if there is no PyTorch or no such device. The other engines compute on the processor, and refuse both.
    """
    _check_engine(engine, device, torch_compile)
    if engine != "scalar":
        compiled = _compiled_function(loss, engine, threads, device, torch_compile, verify)
        return known(compiled.value_and_grad(), loss, engine)

    def mean_loss_and_gradients(params: Any, *arguments: Any) -> tuple[float, Any]:
        examples, arrays = rows(arguments), checked_parameters(params)
        values = map_arrays(lambda array: map_numbers(Value, array.tolist()), arrays)
        leaves: list[Value] = []
        map_arrays(lambda _, of_array: map_numbers(leaves.append, of_array), arrays, values)
        data, grads = [leaf.data for leaf in leaves], list(map(get_grad, leaves))
        total = 0.0
        with collector_paused():
            for example in examples:
                result = loss(in_new_lists(arrays, values), *example)
                if any(map(is_not, map(get_grad, leaves), grads)):  # other objects, even if the numbers are the same
                    raise TypeError(CALLS_BACKWARD)
                if isinstance(result, Value):
                    result.backward()
                    result = result.data
                total += checked_result(result)
                grads = list(map(get_grad, leaves))
        if any([leaf.data is not number for leaf, number in zip(leaves, data, strict=True)]):
            raise TypeError(CHANGES_DATA)
        gradients = map_arrays(
            lambda array, of_array: np.array(map_numbers(lambda v: v.grad / len(examples), of_array), array.dtype),
            arrays,
            values,
        )
        return total / len(examples), gradients

    return known(mean_loss_and_gradients, loss, engine)


def evaluate(
    function: Callable[..., Any],
    engine: str = "compiled",
    threads: int | None = None,
    device: str | None = None,
    torch_compile: bool = False,
    verify: bool | None = None,
) -> Callable[..., Any]:
    """Turn a function of one example into a function of (params, *arrays) that returns its results as arrays.

    It takes the same arguments as `value_and_grad`, and raises the same errors. Of what `value_and_grad` returned it
    evaluates the loss, and shares what is recorded. Where the function returns a scalar the
    result is an array [batch], where it returns (nested) lists of scalars, an array [batch, ...]; tuples and dicts keep
    their form. The arrays are of floats, as precise as the parameters, also where it returns integers or comparisons.
    Raises TypeError, naming it, for any other result: a dict within a list, lists of different lengths, an array of
    numpy.

    >>> def line(params, x):
    ...     return params["w"] * x, [x, x**2]
    >>> evaluate(line)({"w": np.array(2.0)}, np.array([1.0, 2.0, 3.0]))
    (array([2., 4., 6.]), array([[1., 1.],
           [2., 4.],
           [3., 9.]]))
    """
    _check_engine(engine, device, torch_compile)
    if engine != "scalar":
        compiled = _compiled_function(function, engine, threads, device, torch_compile, verify)
        return known(compiled.evaluate(), compiled.function, engine)
    of_one = loss_in(function)

    def results(params: Any, *arguments: Any) -> Any:
        arrays = checked_parameters(params)
        numbers = map_arrays(lambda array: array.tolist(), arrays)
        found = [of_one(in_new_lists(arrays, numbers), *example) for example in rows(arguments)]
        for result in found:
            check_form(result, Real)
        return stacked(found, precision(arrays))

    return known(results, of_one, engine)


def known(computed: Callable[..., Any], function: Callable[..., Any], engine: str) -> Any:
    """What an engine made of a function, with the function and the engine as attributes: replay.py reads them."""
    computed.function, computed.engine = function, engine  # type: ignore[attr-defined]
    return computed


def _compiled_function(
    function: Callable[..., Any],
    engine: str,
    threads: int | None,
    device: str | None,
    torch_compile: bool,
    verify: bool | None,
) -> Any:
    """What records a function and runs it as array instructions, on our own kernels or on PyTorch."""
    compiled: Any
    if engine == "torch":
        from microgpt.engines.pytorch.engine import OnTorch  # only now, because PyTorch is an extra

        compiled = OnTorch(loss_in(function), threads, device, torch_compile, verify)
    else:
        from microgpt.engines.compiled.api import Compiled  # only now, because this imports LLVM

        compiled = Compiled(loss_in(function), threads, verify)
    if function is not compiled.function and hasattr(function, "compiled"):
        compiled.programs = function.compiled.programs
    return compiled


def loss_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """The loss of which `value_and_grad` made a function; any other function as it is."""
    return vars(function).get("function", function) if isinstance(function, FunctionType) else function


def adam_update(engine: str = "compiled") -> Callable[..., None]:
    """Adam as an update rule for `train`, on flat vectors, in place: with numpy, or compiled like everything else.

    `train(..., update=adam_update())` takes the same steps as without, in less time. Raises ValueError unless there is
    such an engine.
    """
    _check_engine(engine)
    if engine == "compiled":
        from microgpt.engines.compiled.adam import CompiledAdam

        return CompiledAdam()
    return adam_in_chunks


def _check_engine(engine: str, device: str | None = None, torch_compile: bool = False) -> None:
    """Raise ValueError unless there is such an engine, and InputError if it has no such device or cannot do that."""
    if engine not in ENGINES:
        raise ValueError(f"there is no engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if engine != "torch" and device not in (None, "cpu"):
        raise InputError(
            f'device is {device!r}, but the engine {engine!r} computes on the processor: give engine="torch"'
        )
    if engine != "torch" and torch_compile:
        raise InputError(f'torch_compile is for the engine "torch", and the engine is {engine!r}: give engine="torch"')
