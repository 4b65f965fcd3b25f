"""From a function of scalars, for one example, to arrays, for a batch: `value_and_grad` and `evaluate`.

>>> def loss(params, x, y):  # plain Python on scalars, for one example
...     return (params["w"] * x + params["b"] - y) ** 2
>>> step = value_and_grad(loss)
>>> step({"w": np.array(0.5), "b": np.array(0.0)}, np.array([1.0, 2.0]), np.array([3.0, 5.0]))
(11.125, {'w': array(-10.5), 'b': array(-6.5)})

`params` is any nesting of dicts and lists of float arrays. Each other argument is an array whose first axis is the
batch: the function sees one row of it, as (nested lists of) plain integers or floats.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from microgpt.adam import adam
from microgpt.engines.select import check_engine, engine_for

if TYPE_CHECKING:
    from microgpt.engines.checking.gradient_check import Check

CHUNK = 8192  # parameters that Adam takes at a time, so that its dozen passes over them stay in the cache


class BatchFunction:
    """What `value_and_grad` and `evaluate` return: call it with (params, *arrays).

    Attributes:
        of_one: the function of one example.
        engine: "compiled", "scalar" or "torch".
        own_engine: the engine for this function, with its `programs`, one for each shape of example.
    """

    def __init__(self, function: Callable[..., Any], name: str, with_gradient: bool, **options: Any):
        self.engine, self.own_engine = name, engine_for(function, name, **options)
        self.device = options["device"]
        self.of_one = self.own_engine.function
        self.with_gradient = with_gradient
        self.call = self.own_engine.value_and_grad if with_gradient else self.own_engine.evaluate

    def __call__(self, params: Any, *arrays: Any) -> Any:
        return self.call(params, *arrays)

    def listing(self, params: Any, *arrays: Any) -> str:
        """The array instructions for such parameters and one batch of such arrays, line by line."""
        from microgpt.engines.compiled.listing import listing

        return listing(self.of_one, params, *arrays)

    def summary(self) -> str:
        """How the last call was computed, in a line. Raises InputError before the first call."""
        return self.own_engine.summary()

    def check(self, params: Any, *arrays: Any) -> "Check":
        """Compare the gradients with the slope of the loss, and this engine with "scalar": see `microgpt.check`."""
        from microgpt.engines.checking.gradient_check import check

        return check(self.of_one, params, *arrays, engine=self.engine, device=self.device)


def value_and_grad(
    loss: Callable[..., Any],
    engine: str = "compiled",
    threads: int | None = None,
    device: str | None = None,
    torch_compile: bool = False,
    verify: bool | None = None,
) -> BatchFunction:
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
    itself, on plain numbers, and must give the same loss to 1e-9. The gradient of the first four must be the slope of
    the compiled loss, or else that of Values. DisagreementError, with the line or the parameter, if it is not so;
    InputError if the function does not repeat its own result. `verify` says what to verify: None for functions of at
    most two million operations an example, True for all, False for none.

    The engine "torch" runs the same instructions on PyTorch, on the `device` "cpu", "cuda" or "mps" (None: a GPU if
    there is one), as they stand or, with `torch_compile`, compiled once more by PyTorch, which takes minutes. Raises
    InputError if there is no PyTorch or no such device. The other engines compute on the processor, and refuse both.
    """
    return BatchFunction(loss, engine, True, threads=threads, device=device, torch_compile=torch_compile, verify=verify)


def evaluate(
    function: Callable[..., Any],
    engine: str = "compiled",
    threads: int | None = None,
    device: str | None = None,
    torch_compile: bool = False,
    verify: bool | None = None,
) -> BatchFunction:
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
    return BatchFunction(
        function, engine, False, threads=threads, device=device, torch_compile=torch_compile, verify=verify
    )


def continuation(
    step: Callable[..., Any],
    memory: Sequence[tuple[tuple[int, ...], int | None]],
    places: int,
    again: int,
    end: int = -1,
    threads: int | None = None,
) -> Any:
    """Return what continues sequences of integers with a compiled step: see `compiled.sequences.Continuation`."""
    from microgpt.engines.compiled.sequences import Continuation  # only now, because this imports LLVM

    return Continuation(step, memory, places, again, end, threads)


def rows(
    function: Callable[..., Any], shapes: Any, arguments: list[Any], threads: int | None = None
) -> Callable[..., Any]:
    """Return a compiled function of one row of numbers, for few rows or many: see `compiled.rows.Rows`."""
    from microgpt.engines.compiled.rows import Rows  # only now, because this imports LLVM

    return Rows(function, shapes, arguments, threads)


def adam_update(engine: str = "compiled", rule: Callable[..., Any] = adam) -> Callable[..., None]:
    """Adam as an update rule for `train`, on flat vectors, in place: with numpy, or compiled like everything else.

    `rule` is a function of the arguments and results of `adam`.

    `train(..., update=adam_update())` takes the same steps as without, in less time. Raises ValueError unless there is
    such an engine.
    """
    check_engine(engine)
    if engine == "compiled":
        from microgpt.engines.compiled.adam import CompiledAdam

        return CompiledAdam(rule)
    return partial(adam_in_chunks, rule=rule)


def many_steps(value_and_grad: Callable[..., Any], update: Callable[..., None], clip: float) -> Any:
    """What takes several steps of `train` in one call: see steps.py. None, unless engine and Adam are compiled."""
    if not isinstance(value_and_grad, BatchFunction) or not value_and_grad.with_gradient:
        return None
    if value_and_grad.engine != "compiled":
        return None
    from microgpt.engines.compiled.adam import CompiledAdam
    from microgpt.engines.compiled.steps import ManySteps

    return ManySteps(value_and_grad.own_engine, update, clip) if type(update) is CompiledAdam else None


def adam_in_chunks(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    learning_rate: float,
    weight_decay: np.ndarray,
    rule: Callable[..., Any] = adam,
) -> None:
    """One step of Adam on flat vectors, in place: see `adam` for the arguments."""
    with np.errstate(all="ignore"):  # what is not finite shows in the next loss
        for start in range(0, len(parameter), CHUNK):
            part = slice(start, start + CHUNK)
            parameter[part], m[part], v[part] = rule(
                parameter[part], gradient[part], m[part], v[part], step, learning_rate, weight_decay=weight_decay[part]
            )
