"""From a function of scalars, for one example, to arrays, for a batch: `value_and_grad` and `evaluate`.

    def loss(params, x, y):                      # plain Python on scalars, for one example
        return (params["w"] * x + params["b"] - y) ** 2

    step = value_and_grad(loss)
    mean_loss, gradients = step({"w": np.array(0.5), "b": np.array(0.0)}, np.array([1.0, 2.0]), np.array([3.0, 5.0]))

`params` is any nesting of dicts and lists of float arrays. Each other argument is an array whose first axis is the
batch: the function sees one row of it, as (nested lists of) plain integers or floats.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np

from microgpt.errors import InputError
from microgpt.training import adam_in_chunks
from microgpt.value import Value

ENGINES = ("compiled", "scalar", "torch")


def value_and_grad(
    loss: Callable[..., Any],
    engine: str = "compiled",
    threads: int | None = None,
    device: str | None = None,
    torch_compile: bool = False,
) -> Callable[..., tuple[float, Any]]:
    """Turn the loss of one example into a function of (params, *arrays) that returns (mean loss, gradients).

    The mean is over the batch. The gradients are arrays in the nesting, shapes and dtypes of the parameters.
    Raises TypeError or InputError (a ValueError), naming the argument, for arrays that do not fit the above.

    The engine "scalar" calls the loss on Values, example by example: to be understood. The engine "compiled" records
    it once for each shape of example and runs it as array instructions, on `threads` threads (None: one a core): to
    be fast. The results do not depend on the number of threads. What a recorded function reads besides its arguments
    (a global, a closed-over setting, a random number) stays as it was when it was recorded, as long as it lives.

    The engine "torch" runs the same instructions on PyTorch, on the `device` "cpu", "cuda" or "mps" (None: a GPU if
    there is one), as they stand or, with `torch_compile`, compiled once more by PyTorch, which takes minutes.
    """
    check_engine(engine)
    if engine == "torch":
        from microgpt import on_torch  # only now, because PyTorch is an extra

        return on_torch.value_and_grad(loss, threads, device, torch_compile)
    if engine == "compiled":
        from microgpt.compiler import front  # only now, because this imports LLVM

        return front.value_and_grad(loss, threads)

    def mean_loss_and_gradients(params: Any, *arguments: Any) -> tuple[float, Any]:
        examples = rows(arguments)
        leaves = map_arrays(lambda array: map_numbers(Value, array.tolist()), checked_parameters(params))
        total = 0.0
        with collector_paused():
            for example in examples:
                result = loss(leaves, *example)
                if isinstance(result, Value):
                    result.backward()
                    result = result.data
                total += checked_result(result)
        gradients = map_arrays(
            lambda array, values: np.array(map_numbers(lambda v: v.grad / len(examples), values), array.dtype),
            checked_parameters(params),
            leaves,
        )
        return total / len(examples), gradients

    return mean_loss_and_gradients


def evaluate(
    function: Callable[..., Any],
    engine: str = "compiled",
    threads: int | None = None,
    device: str | None = None,
    torch_compile: bool = False,
) -> Callable[..., Any]:
    """Turn a function of one example into a function of (params, *arrays) that returns its results as arrays.

    It takes the same arguments as `value_and_grad`. Where the function returns a scalar the result is an array
    [batch], where it returns (nested) lists of scalars, an array [batch, ...]; tuples and dicts keep their form.
    """
    check_engine(engine)
    if engine == "torch":
        from microgpt import on_torch

        return on_torch.evaluate(function, threads, device, torch_compile)
    if engine == "compiled":
        from microgpt.compiler import front

        return front.evaluate(function, threads)

    def results(params: Any, *arguments: Any) -> Any:
        numbers = map_arrays(lambda array: array.tolist(), checked_parameters(params))
        return stacked([function(numbers, *example) for example in rows(arguments)])

    return results


def adam_update(engine: str = "compiled") -> Callable[..., None]:
    """Adam on flat vectors, in place, as `train` takes it: with numpy, or compiled like everything else."""
    check_engine(engine)
    if engine == "compiled":
        from microgpt.compiler.update import compiled_adam

        return compiled_adam
    return adam_in_chunks


def check_engine(engine: str) -> None:
    """Raise ValueError unless there is such an engine."""
    if engine not in ENGINES:
        raise ValueError(f"there is no engine {engine!r}: expected one of {', '.join(ENGINES)}")


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector from searching a graph of Values that grows: it is large and has no cycles.

    The graph is freed by reference counting alone, as soon as nothing refers to its result.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def map_numbers(function: Callable[[Any], Any], numbers: Any) -> Any:
    """The same nesting of lists with the function applied to every number in it."""
    return [map_numbers(function, n) for n in numbers] if isinstance(numbers, list) else function(numbers)


def map_arrays(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same nesting of dicts and lists with the function applied to every array, and to what others have there."""
    if isinstance(tree, dict):
        return {key: map_arrays(function, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (list, tuple)):
        return [map_arrays(function, *entries) for entries in zip(tree, *others, strict=True)]
    return function(tree, *others)


def checked_parameters(params: Any, name: str = "params") -> Any:
    """The nesting with every parameter as a float array. Raises TypeError for one that is none, naming it."""
    if isinstance(params, dict):
        return {key: checked_parameters(entry, f"{name}[{key!r}]") for key, entry in params.items()}
    if isinstance(params, (list, tuple)):
        return [checked_parameters(entry, f"{name}[{i}]") for i, entry in enumerate(params)]
    array = np.asarray(params)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{name} is of type {type(params).__name__} with dtype {array.dtype}: "
            "expected an array of float32 or float64, or a dict or list of such"
        )
    return array


def checked_arguments(arguments: tuple[Any, ...]) -> list[np.ndarray]:
    """The arguments as integer or float arrays with one common batch axis. Raises TypeError or InputError if not."""
    arrays = [np.asarray(argument) for argument in arguments]
    for i, array in enumerate(arrays):
        if array.dtype.kind not in "iuf":
            raise TypeError(f"argument {i + 1} after params has dtype {array.dtype}: expected integers or floats")
        if array.ndim == 0 or len(array) == 0 or len(array) != len(arrays[0]):
            raise InputError(
                f"argument {i + 1} after params has shape {array.shape}: expected a first axis, the batch, "
                f"as long as that of all others (argument 1 has shape {arrays[0].shape}) and not empty"
            )
    return arrays


def rows(arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The examples of a batch, each a tuple of plain numbers or nested lists; one empty one without arguments."""
    if not arguments:
        return [()]
    return list(zip(*(array.tolist() for array in checked_arguments(arguments)), strict=True))


def checked_result(result: Any) -> float:
    """The result of a loss as a float. Raises TypeError if it is not a scalar."""
    if not isinstance(result, Real):
        raise TypeError(f"the loss returned a {type(result).__name__}: expected a single scalar")
    return float(result)


def stacked(results: list[Any]) -> Any:
    """The results of all examples as arrays with the batch as first axis, in the form of one result."""
    if isinstance(results[0], dict):
        return {key: stacked([result[key] for result in results]) for key in results[0]}
    if isinstance(results[0], tuple):
        return tuple(stacked(list(entries)) for entries in zip(*results, strict=True))
    return np.array(results)
