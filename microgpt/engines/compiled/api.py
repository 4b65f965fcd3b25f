"""The engine "compiled": a function of one example, with a program for each shape of example that it meets."""

import inspect
import os
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from microgpt.engines.compiled import recording, replacements
from microgpt.engines.compiled.listing import summary
from microgpt.engines.compiled.llvm.machine import briefly
from microgpt.engines.compiled.llvm.run import INTEGER, Program
from microgpt.engines.compiled.llvm.threads import LOCK
from microgpt.engines.compiled.record import BranchIndexError, RecordingError
from microgpt.engines.compiled.recording import record_function
from microgpt.engines.compiled.referee import EXAMPLES, OPERATIONS, verify, verify_gradient
from microgpt.engines.trees import FlatParameters, argument_names, checked_arguments, map_arrays, precision
from microgpt.errors import InputError

OWN = tuple(str(Path(__file__).parents[1] / room) + os.sep for room in ("compiled", "pytorch"))  # the engine's files
PACKAGE = str(Path(__file__).parents[2]) + os.sep
MANY_PROGRAMS = 100  # of one function are kept; a caller who needs more probably has a new shape in every batch

Found = tuple[Program, np.ndarray, FlatParameters, np.ndarray]  # a program, its results, the parameters, the gradient


class Compiled:
    """A function with a program for each shape of example that it has met.

    Args:
        function: takes the parameters and one example, and uses the five operations on scalars.
        threads: the most to use; None for one a core. The results do not depend on it.
        verify: whether to compare each program, on one example, with the function itself on plain numbers, and its
            gradient with a slope; None to compare where that takes at most two million operations.
    """

    def __init__(self, function: Callable[..., Any], threads: int | None, verify: bool | None = None):
        if threads is not None and not (isinstance(threads, Integral) and threads >= 1):
            raise ValueError(f"threads is {threads!r}: expected a positive integer, or None for one a core")
        self.function = function
        self.engine = "compiled"
        self.threads = threads or os.cpu_count() or 1
        self.programs: dict[Any, Program] = {}
        self.verify = verify
        self.programs_recorded = 0
        self.given: FlatParameters | None = None

    def program(self, params: Any, structure: Any, arrays: list[np.ndarray]) -> Program:
        """The program for parameters and arguments of these shapes. It is recorded when they are first met."""
        key = program_key(structure, arrays)
        with LOCK:  # threads that call one function wait for its recording
            program = self.known(key)
            if program is None:
                names, kinds = argument_names(self.function, len(arrays)), key[1]
                shapes = map_arrays(lambda array: np.asarray(array).shape, params)
                arguments = [(n, kind, array.shape[1:]) for n, kind, array in zip(names, kinds, arrays, strict=True)]
                others = reversed(self.programs.values())
                program = Program(self.function, shapes, arguments, others=others)
                self.programs_recorded += 1
                if self.programs_recorded == MANY_PROGRAMS:
                    warnings.warn(
                        f"{MANY_PROGRAMS} programs were compiled for one function, one for each shape of example: "
                        "pad the examples to fewer different shapes",
                        stacklevel=level_of_caller(),
                    )
                if len(self.programs) >= MANY_PROGRAMS:
                    self.programs.pop(next(iter(self.programs)))
                self.programs[key] = program
            return program

    def known(self, key: tuple[Any, ...]) -> Program | None:
        """The program for a key, if there is one. The program used last stands last. Call it with the LOCK held."""
        program = self.programs.pop(key, None)
        if program is not None:
            self.programs[key] = program
        return program

    def parameters(self, params: Any) -> FlatParameters:
        """The parameters as one vector: that of the last call, if they are the same arrays."""
        given = self.given  # another thread may put its own there
        if given is None or not given.are(params):
            given = self.given = FlatParameters(params)
        return given

    def run(self, params: Any, arguments: tuple[Any, ...], with_gradient: bool) -> Found:
        """Run the program for these arguments: return it, its results, the parameters, and the flat gradient."""
        given = self.parameters(params)
        arrays = checked_arguments(arguments)
        program = self.program(params, given.structure, arrays)
        batch, integers, floats = examples(program, arrays, given.dtype)
        if with_gradient and program.form != 0:
            raise TypeError(f"the loss returned a {type(program.form).__name__}: expected a single scalar")
        results, gradient = program.run(given.vector(), integers, floats, batch, self.threads, with_gradient)
        if (self.engine, with_gradient) not in program.verified_on:
            self.check(program, params, arrays, results, with_gradient)
        return program, results, given, gradient

    def check(
        self, program: Program, params: Any, arrays: list[np.ndarray], results: np.ndarray, with_gradient: bool = False
    ) -> None:
        """Verify a program on the first examples of a batch, of which it has given these results, and its gradient."""
        done, both = program.verified_on, {(self.engine, False), (self.engine, with_gradient)}
        unwanted = self.verify is False or (self.verify is None and program.operations > OPERATIONS)
        if unwanted and (not program.asked_kind or (self.engine, False) in done):
            done |= both
            return
        numbers = map_arrays(lambda array: np.asarray(array, np.float64), params)
        if (self.engine, False) not in done:
            double, first = results.dtype == np.float64, [array[:1] for array in arrays]
            found = results if double else self.of_some(program, numbers, first, False)[0]
            example = tuple([array[0].tolist() for array in arrays])
            if not verify(self.function, numbers, example, program.arguments, found[:, 0], program.asked_kind):
                return
            done.add((self.engine, False))
        some = [array[:EXAMPLES] for array in arrays]

        def compiled(params: Any, with_gradient: bool) -> tuple[float, np.ndarray]:
            as_in = results.shape[1] if precision(params) == results.dtype else 0
            found, gradient = self.of_some(program, params, some, with_gradient or as_in > 0, as_in)
            return float(found[0].mean()), gradient

        if with_gradient and not unwanted and verify_gradient(self.function, numbers, some, results.dtype, compiled):
            done.add((self.engine, True))

    def of_some(
        self, program: Program, params: Any, arrays: list[np.ndarray], with_gradient: bool, as_in: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The results of some examples, [outputs, examples], and their gradient, in the precision of the parameters.

        As in a batch of so many: its machine code is there already. Else by code that is compiled in less time.
        """
        given = FlatParameters(params)
        batch, integers, floats = examples(program, arrays, given.dtype)
        p = given.vector()
        gradient = np.zeros((1, p.size if with_gradient else 0), p.dtype)
        with LOCK, nullcontext() if as_in else briefly():
            plan, _ = program.plan_for(as_in or 1, p.dtype, with_gradient)
            return plan.run(p, integers, floats, gradient, 1)[:, :batch], gradient[0]

    def summary(self) -> str:
        """Describe the last program that ran, in a line. Raises InputError before the first call."""
        with LOCK:
            if not self.programs:
                raise InputError("nothing is compiled yet: call the function once, then ask for its summary")
            return summary(list(self.programs.values())[-1])

    def value_and_grad(self, params: Any, *arguments: Any) -> tuple[float, Any]:
        """The mean loss and its gradients: see `microgpt.value_and_grad`."""
        loss, given, gradient = self.loss_and_vector(params, *arguments)
        return loss, given.like(params, gradient)

    def loss_and_vector(self, params: Any, *arguments: Any) -> tuple[float, FlatParameters, np.ndarray]:
        """The mean loss, the parameters, and the gradient as a flat vector."""
        try:
            _, results, given, gradient = self.run(params, arguments, True)
        except Exception as error:
            hide_own_frames(error)
            raise
        with np.errstate(all="ignore"):
            return float(np.add.reduce(results[0].astype(np.float64))) / results.shape[1], given, gradient

    def evaluate(self, params: Any, *arguments: Any) -> Any:
        """The results of all examples as arrays: see `microgpt.evaluate`."""
        try:
            program, results, _, _ = self.run(params, arguments, False)
        except Exception as error:
            hide_own_frames(error)
            raise
        return in_form(results, program.form)


def level_of_caller() -> int:
    """How far up the stack, as `warnings.warn` counts where this is called, the first function is not of microgpt."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def program_key(structure: str, arrays: list[np.ndarray]) -> tuple[Any, ...]:
    """What a program is made for: the nesting of the parameters, and the kinds and shapes of its arguments."""
    kinds = tuple(["float" if array.dtype.kind == "f" else "int" for array in arrays])
    return structure, kinds, tuple([array.shape[1:] for array in arrays])


def hide_own_frames(error: BaseException) -> None:
    """Remove the engine's frames from the traceback of an error in the recorded function, all but the first one.

    Those after the function's last frame stay, unless the message says all or a replacement raised as Python would.
    """
    frames: list[TracebackType] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    codes = [frame.tb_frame.f_code for frame in frames]
    first = codes.index(record_function.__code__) if record_function.__code__ in codes else len(codes)
    users = [i for i in range(first, len(codes)) if not codes[i].co_filename.startswith(OWN)]
    if users:
        in_its_place = codes[-1].co_filename in (replacements.__file__, recording.__file__)
        rest = [] if in_its_place or isinstance(error, RecordingError) else frames[users[-1] + 1 :]
        for frame in reversed([frames[0], *[frames[i] for i in users], *rest]):
            trace = TracebackType(trace, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
        error.__traceback__ = trace


def examples(program: Program, arrays: list[np.ndarray], dtype: Any) -> tuple[int, np.ndarray, np.ndarray]:
    """The number of examples, and their integers and floats in rows. Raises IndexError as check_integers does."""
    batch = len(arrays[0]) if arrays else 1
    choosing = [array for array in arrays if array.dtype.kind != "f"]
    integers = examples_in_rows(choosing, INTEGER, batch)
    floats = examples_in_rows([array for array in arrays if array.dtype.kind == "f"], dtype, batch)
    if integers.size:
        check_integers(integers, program, choosing)
    if program.returned:
        floats = np.concatenate([floats, examples_in_rows(choosing, dtype, batch)[:, program.returned]], 1)
    return batch, integers, floats


def examples_in_rows(arrays: list[np.ndarray], dtype: Any, batch: int) -> np.ndarray:
    """All numbers of each example as a row: [batch, numbers of an example]."""
    rows = [array.reshape(batch, -1) for array in arrays]
    if not rows:
        return np.zeros((batch, 0), dtype)
    whole = rows[0] if len(rows) == 1 else np.concatenate(rows, 1, dtype=dtype, casting="unsafe")
    whole = np.ascontiguousarray(whole, dtype)
    return whole if whole.flags.aligned else whole.copy()


def check_integers(integers: np.ndarray, program: Program, given: list[np.ndarray]) -> None:
    """Raise an IndexError, naming the integer, the example and the bound, for one that picks beyond a list.

    It is a BranchIndexError where that may only be in a branch which the function itself would not run.

    The message quotes the arrays that were `given`, because an integer too large for its row has become another there.
    """
    limits = program.integer_limits
    if integers.min() < 0 or (integers >= limits).any():
        wrong = ((integers < 0) & (limits != np.iinfo(np.int64).max)) | (integers >= limits)
        if not wrong.any():  # a negative integer that nothing picks by
            return
        example, place = np.argwhere(wrong)[0]
        found = examples_in_rows(given, object, len(integers))[example, place]
        said = (
            f"{program.integers[place]} is {found} in row {example} of the batch: "
            f"expected 0 to {program.integer_limits[place] - 1}, the length of what it picks from"
        )
        limit = program.limits_in_all[place]
        if limit == np.iinfo(np.int64).max or 0 <= integers[example, place] < limit:
            raise BranchIndexError(f"{said} in a branch of a choice: all branches are computed, so it has to fit there")
        raise IndexError(said)


def in_form(results: np.ndarray, form: Any) -> Any:
    """The results of a batch as arrays, nested as the function returned them. Lists of scalars become axes."""
    if isinstance(form, dict):
        return {key: in_form(results, entry) for key, entry in form.items()}
    if isinstance(form, tuple):
        return tuple(in_form(results, entry) for entry in form)
    if isinstance(form, int):
        return results[form]
    places = np.array(form, np.int64)
    return np.moveaxis(results[places], -1, 0)
