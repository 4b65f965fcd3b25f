"""The training loop: batches in, better parameters out. It knows no GPTs and no engines.

`train` is a generator: it yields an Update after each step, and the caller validates, prints, saves, or stops.

>>> def step(parameters, wanted):  # the loss and its gradients: made by an engine or, as here, by hand
...     error = parameters["w"] - wanted
...     return float((error**2).mean()), {"w": 2 * error / error.size}
>>> parameters, batches = {"w": np.zeros(2)}, ((np.array([3.0, -1.0]),) for _ in range(200))
>>> losses = [update.loss for update in train(step, parameters, batches, Schedule(200, learning_rate=0.1, warmup=10))]
>>> losses[0], round(losses[-1], 3), parameters["w"].round(2)
(5.0, 0.0, array([ 3., -1.]))
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf, isfinite, sqrt
from time import perf_counter
from traceback import extract_tb
from typing import Any

import numpy as np

from microgpt.adam import scheduled_learning_rate
from microgpt.engines.checking.replay import why_not_finite
from microgpt.engines.engine import adam_in_chunks, many_steps
from microgpt.engines.trees import one_vector
from microgpt.errors import DivergenceError, InputError
from microgpt.learning.batches import by_length, padded, predictions
from microgpt.learning.parameters import Arrays, as_vector, flatten, views
from microgpt.surroundings import in_notebook, notebook_bar
from microgpt.value import __file__ as value_file

CALL = 0.04  # seconds in which batches are drawn for a call, and that it then takes: nothing else happens meanwhile
MOST = 1000  # steps in a call, so that their batches take little memory


@dataclass(frozen=True)
class Schedule:
    """The length of training, and the size of its steps.

    The learning rate climbs linearly for `warmup` steps, then falls linearly, towards 0 after the last step.
    """

    steps: int
    learning_rate: float  # at its highest
    warmup: int  # steps until it is there
    weight_decay: float = 0.0  # of matrices; biases and gains do not decay
    grad_clip: float = 1.0  # the greatest norm of a gradient; 0 for no limit
    rate: Callable[..., float] = scheduled_learning_rate  # of (step, steps, warmup, learning_rate)


@dataclass(frozen=True)
class TensorUpdate:
    """The effect of one step on one tensor. A norm is the root of the sum of squares of all its numbers."""

    gradient_norm: float  # before clipping
    value_norm: float  # of its values, before the step
    update_ratio: float  # the norm of the step over that of the values; infinite if all values were 0


@dataclass(slots=True)  # and not frozen, because one is made for each step
class Update:
    """The findings of one step."""

    step: int  # the first is 1
    loss: float  # of this step's batch, before the step; nats per character for a language model
    learning_rate: float
    gradient_norm: float  # of all parameters together, before clipping
    tensors: dict[str, TensorUpdate] = field(default_factory=dict)  # by name; empty unless the step was observed


@dataclass
class OptimizerState:
    """The state of the optimizer. Before the first step it is OptimizerState(0, np.zeros(n), np.zeros(n)).

    Here n is the number of all parameters. `train` changes it in place.
    """

    step: int  # taken so far
    m: np.ndarray  # Adam's moments of all parameters, as flat vectors in the dtype of the parameters
    v: np.ndarray


def train(
    value_and_grad: Callable[..., tuple[float, Any]],
    parameters: Arrays,
    batches: Iterable[tuple[Any, ...]],
    schedule: Schedule,
    update: Callable[..., None] = adam_in_chunks,
    state: OptimizerState | None = None,
    observed: Callable[[int], bool] | None = None,
    looks: Callable[[int], bool] | None = None,
) -> Iterator[Update]:
    """Take the schedule's steps, one batch each, and yield an Update after each step.

    Args:
        value_and_grad: a function of (parameters, *batch) that returns the loss and its gradients. (It costs no copy if
            they are `views` of one vector, in the order of the parameters.)
        parameters: arrays by name, all of one dtype. They become views of one flat vector, which every step changes in
            place.
        batches: a tuple of arrays for each step. If they end before the schedule does, so does training.
        schedule: the number and the size of the steps.
        update: a function of (vector, gradient, m, v, step, learning_rate, weight_decay) that changes the first and the
            two moments in place: Adam, or a rule of your own. All are flat vectors except the step, which counts from
            1, and the learning rate. The gradient is already clipped.
        state: the state of the optimizer, changed in place; None for a new one. To resume later, keep it with the
            parameters and give both again.
        observed: a function of a step's number: whether its Update has `tensors`; None for no step. An observed step
            takes a little longer; the result is the same.
        looks: a function of a step's number: whether you look at the parameters, or stop, after this step; None for
            every step. Small steps between such steps are taken together, which is faster: batches are drawn ahead for
            up to a twentieth of a second, and the parameters are then those after `state.step` steps. The engine and
            Adam have to be compiled; all else takes one step at a time. The numbers are the same, to the bit.

    Raises InputError for parameters that are not arrays, and for a state or a gradient that does not fit them. Raises
    DivergenceError if the loss or the gradient is not finite, or if a number on the way has no logarithm or power. Then
    the parameters are those before the step. With a `value_and_grad` of an engine the error names the operation, its
    line and the row of the batch. Other errors of the loss come through unchanged.
    """
    if not parameters:
        raise InputError("there are no parameters to train: expected arrays by name")
    for name, array in parameters.items():
        if not isinstance(array, np.ndarray):
            raise InputError(
                f"parameters[{name!r}] is of type {type(array).__name__}: expected arrays by name, no nesting"
            )
    given = value_and_grad, parameters, batches, schedule, update, state, observed
    many = many_steps(value_and_grad, update, schedule.grad_clip)
    steps = HostSteps(*given) if many is None else CompiledSteps(many, looks, *given)
    if not in_notebook():
        yield from steps
        return
    with notebook_bar(total=schedule.steps, initial=state.step if state else 0, unit="step", delay=1) as bar:
        for done in steps:
            bar.set_postfix_str(f"loss={done.loss:.3f}", refresh=False)
            bar.update()
            yield done


class Steps:
    """The training loop: one step for each batch. A subclass computes the gradient and the update.

    Attributes:
        vectors: the parameters and Adam's two moments, flat.
        stopping: whether to end after this step.
    """

    vectors: tuple[Any, Any, Any]
    stopping = False

    def __init__(
        self, parameters: Arrays, batches: Iterable[tuple[Any, ...]], schedule: Schedule,
        state: OptimizerState | None, observed: Callable[[int], bool] | None,
    ):  # fmt: skip
        self.shapes = {name: array.shape for name, array in parameters.items()}
        vector = flatten(parameters)
        parameters.update(views(vector, self.shapes))
        self.parameters, self.batches, self.schedule, self.observed = parameters, batches, schedule, observed
        self.state = state or OptimizerState(0, np.zeros_like(vector), np.zeros_like(vector))
        check_state(self.state, vector)
        self.vectors = vector, self.state.m, self.state.v
        self.decay: Any = decay_of(vector, self.shapes, schedule)

    def gradient(self, step: int, batch: tuple[Any, ...]) -> tuple[float, Any, float]:
        """Return the loss of a batch, its flat gradient, and the norm of the gradient."""
        raise NotImplementedError

    def update(self, gradient: Any, step: int, rate: float) -> None:
        """Change the three vectors in place."""
        raise NotImplementedError

    def why_not_finite(self, batch: tuple[Any, ...]) -> str:
        """Return which operation made the loss or the gradient of a batch infinite or NaN: see replay.py."""
        raise NotImplementedError

    def copied(self, vector: Any) -> np.ndarray:
        """Return a copy of a vector as an array."""
        return np.array(vector)

    def __iter__(self) -> Iterator[Update]:
        for step, batch in self.numbered():
            yield self.take(step, batch)
            if self.stopping:
                return

    def numbered(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield the number of each step that is left, and its batch."""
        return zip(range(self.state.step + 1, self.schedule.steps + 1), self.batches, strict=False)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        schedule = self.schedule
        return schedule.rate(step, schedule.steps, schedule.warmup, schedule.learning_rate)

    def take(self, step: int, batch: tuple[Any, ...]) -> Update:
        """Take a step."""
        limit, observed = self.schedule.grad_clip, self.observed
        with divergence_named(f"at step {step}", why=partial(self.why_not_finite, batch)):
            loss, gradient, norm = self.gradient(step, batch)
            if not isfinite(loss) or not isfinite(norm):
                raise ArithmeticError(f"the loss is {loss}, the gradient's norm {norm}")
        before = (self.copied(gradient), self.copied(self.vectors[0])) if observed and observed(step) else None
        if limit and norm > limit:
            gradient = gradient * (limit / norm)
        rate = self.rate(step)
        self.update(gradient, step, rate)
        self.state.step = step
        tensors = tensor_updates(self.shapes, *before, self.copied(self.vectors[0])) if before else {}
        return Update(step, loss, rate, norm, tensors)


class HostSteps(Steps):
    """Steps on arrays, with any gradient and any update rule: see `train`."""

    def __init__(
        self, value_and_grad: Callable[..., tuple[float, Any]], parameters: Arrays, batches: Iterable[tuple[Any, ...]],
        schedule: Schedule, rule: Callable[..., None], state: OptimizerState | None,
        observed: Callable[[int], bool] | None,
    ):  # fmt: skip
        super().__init__(parameters, batches, schedule, state, observed)
        self.value_and_grad, self.rule = value_and_grad, rule
        self.in_a_row: bool | None = None  # whether the gradients are views of one vector, one after the other

    def gradient(self, step: int, batch: tuple[Any, ...]) -> tuple[float, Any, float]:
        loss, gradients = self.value_and_grad(self.parameters, *batch)
        gradients = in_order(gradients, self.shapes)
        if self.in_a_row is None:  # in the first step, and so in all
            self.in_a_row = one_vector(list(gradients.values())) is not None
        gradient = as_vector(gradients) if self.in_a_row else flatten(gradients)
        return loss, gradient, norm_of(gradient)

    def update(self, gradient: Any, step: int, rate: float) -> None:
        self.rule(self.vectors[0], gradient, *self.vectors[1:], step, rate, self.decay)

    def why_not_finite(self, batch: tuple[Any, ...]) -> str:
        return why_not_finite(self.value_and_grad, self.parameters, batch)


class CompiledSteps(HostSteps):
    """Steps of the compiled engine and Adam: many in one call, where nobody looks at the parameters in between."""

    def __init__(self, many: Any, looks: Callable[[int], bool] | None, *given: Any):
        super().__init__(*given)
        self.many, self.looks = many, looks
        self.most = 1  # steps in the next call

    def gradient(self, step: int, batch: tuple[Any, ...]) -> tuple[float, Any, float]:
        loss, given, gradient = self.many.engine.loss_and_vector(self.parameters, *batch)
        if given.whole is not self.vectors[0]:  # somebody has put other arrays among the parameters
            return super().gradient(step, batch)
        return loss, gradient, self.many.norm(gradient)

    def __iter__(self) -> Iterator[Update]:
        numbered, error = self.numbered(), None
        while error is None:
            start, alone = perf_counter(), []
            try:
                alone = self.draw(numbered)
            except Exception as found:  # the batches end, or their error comes after the steps before it
                error = found
            if self.many.waiting:
                updates, rest = self.together()
                self.plan(perf_counter() - start, len(updates))
                yield from updates
                alone = rest + alone
            for step, batch in alone:
                start = perf_counter()
                update = self.take(step, batch)
                self.plan(perf_counter() - start, 1)
                yield update
        if not isinstance(error, StopIteration):
            raise error

    def draw(self, numbered: Iterator[tuple[int, tuple[Any, ...]]]) -> list[tuple[int, tuple[Any, ...]]]:
        """Let the batches of the next call wait. Return the step that follows, if that has to be taken alone."""
        many, parameters, most, observed, looks = self.many, self.parameters, self.most, self.observed, self.looks
        many.begin()
        end = perf_counter() + CALL
        while True:
            step, batch = next(numbered)
            if most == 1 or (observed and observed(step)) or not many.take(parameters, batch):
                return [(step, batch)]
            if many.waiting >= most or perf_counter() > end or (looks and looks(step)):
                return []

    def together(self) -> tuple[list[Update], list[tuple[int, tuple[Any, ...]]]]:
        """Take the steps that wait. Return what they found, and those that have to be taken alone."""
        first = self.state.step + 1
        rates = [self.rate(step) for step in range(first, first + self.many.waiting)]
        losses, norms = self.many.run(self.parameters, (*self.vectors, self.decay), first, rates)
        self.state.step += len(losses)
        found = zip(losses, rates, norms, strict=False)
        updates = [Update(step, *numbers) for step, numbers in enumerate(found, first)]
        return updates, list(enumerate(self.many.batches(len(losses)), first + len(losses)))

    def plan(self, seconds: float, steps: int) -> None:
        """Choose how many steps the next call takes, after some that took so long."""
        if self.looks is not None:
            self.most = min(max(1, int(CALL * steps / seconds)), MOST)


def tensor_updates(
    shapes: dict[str, tuple[int, ...]], gradient: np.ndarray, before: np.ndarray, after: np.ndarray
) -> dict[str, TensorUpdate]:
    """Return the effect of a step on each tensor, from flat vectors of the gradient and the values before and after."""
    with np.errstate(all="ignore"):
        each = [views(vector, shapes) for vector in (gradient, before, after)]
        found = {}
        for name in shapes:
            of_gradient, values, new = (arrays[name].astype(np.float64) for arrays in each)
            gradient_norm, value_norm, step_norm = (
                norm_of(array.ravel()) for array in (of_gradient, values, new - values)
            )
            ratio = step_norm / value_norm if value_norm else inf if step_norm else 0.0
            found[name] = TensorUpdate(gradient_norm, value_norm, ratio)
    return found


def norm_of(vector: np.ndarray) -> float:
    """Return the root of the sum of squares, which numpy adds in the same order on every processor."""
    return sqrt(np.add.reduce(vector * vector))


def check_state(state: OptimizerState, vector: np.ndarray) -> None:
    """Raise InputError, naming the fault, unless the state fits the parameters in size and dtype."""
    if state.step < 0:
        raise InputError(f"state.step is {state.step}: expected the number of steps taken so far, at least 0")
    for name, moment in (("m", state.m), ("v", state.v)):
        if not isinstance(moment, np.ndarray) or moment.shape != vector.shape or moment.dtype != vector.dtype:
            found = f"of shape {np.shape(moment)} and dtype {np.asarray(moment).dtype}"
            raise InputError(
                f"state.{name} is {found}, but the parameters are {vector.size} numbers of dtype {vector.dtype}: "
                "a state belongs to the parameters that it was trained with; begin with state=None"
            )
        if not moment.flags.carray:
            raise InputError(
                f"state.{name} is read-only, or not contiguous and aligned: give a copy, state.{name}.copy()"
            )
    if np.shares_memory(state.m, state.v):
        raise InputError("state.m and state.v share memory: give each an array of its own, such as m=zeros.copy()")


def in_order(gradients: Any, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """Return the gradients in the order of the parameters. Raises InputError unless each parameter has one of its
    shape.
    """
    found = {name: getattr(gradient, "shape", None) for name, gradient in gradients.items()}
    if found != shapes:
        wrong = next(name for name in [*shapes, *found] if found.get(name) != shapes.get(name))
        expected = shapes.get(wrong, "none, there is no such parameter")
        raise InputError(f"the gradient of {wrong!r} has shape {found.get(wrong)}: expected {expected}")
    return gradients if list(gradients) == list(shapes) else {name: gradients[name] for name in shapes}


def decay_of(vector: np.ndarray, shapes: dict[str, tuple[int, ...]], schedule: Schedule) -> np.ndarray:
    """Return the weight decay of each parameter as a flat vector: the schedule's own for matrices, else 0."""
    decay = np.zeros_like(vector)
    for array in views(decay, shapes).values():
        if array.ndim > 1:
            array[...] = min(schedule.weight_decay, float(np.finfo(array.dtype).max))
    return decay


def mean_loss(
    evaluated_loss: Callable[..., np.ndarray],
    parameters: Arrays,
    sequences: Sequence[Any],
    step: int = 0,
    batch_size: int = 64,
) -> float:
    """Return the mean loss over all characters of the sequences, in nats per character.

    `evaluated_loss(parameters, tokens, weights)` returns the weighted sum of each row, as `evaluate(loss)` does. The
    sequences are lists of integers, such as `Corpus.validation`. They are evaluated `batch_size` at a time, padded to
    a power of two or the greatest length: programs for more lengths take longer than they save. Raises DivergenceError
    if the loss is not finite; it names `step`, the number of steps taken, unless that is 0.
    """
    total = 0.0
    in_order = by_length(sequences)
    most = len(in_order[-1]) - 1
    where, what = (f"after step {step}", "training diverged") if step else ("in this model", "numbers are not finite")
    with divergence_named(where, what, lambda: why_not_finite(evaluated_loss, parameters, batch)):
        for start in range(0, len(in_order), batch_size):
            some = in_order[start : start + batch_size]
            width = min(most, 2 ** (len(some[-1]) - 2).bit_length())
            tokens, weights = padded(some, width=width)
            batch = tokens, (weights > 0).astype(weights.dtype)
            total += float(evaluated_loss(parameters, *batch).sum())
            if not isfinite(total):
                raise ArithmeticError(f"the validation loss is {total}")
    return total / predictions(sequences)


@contextmanager
def divergence_named(where: str, what: str = "training diverged", why: Callable[[], str] = str) -> Iterator[None]:
    """Turn an overflow, or the logarithm of 0 in value.py, into a DivergenceError, with the result of `why`.

    Any other ValueError is a fault of the function or its arguments, and stays as it is.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is looked for, and named, by the callers
            yield
    except (ValueError, ArithmeticError) as error:
        if isinstance(error, ArithmeticError) or extract_tb(error.__traceback__)[-1].filename == value_file:
            reason = why()
            raise DivergenceError(f"{what} {where}: {error}" + (f"; {reason}" if reason else "")) from error
        raise
