"""The engine "torch": the loop nests that the compiler finds, as tensors on whatever PyTorch runs on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from microgpt.engines.compiled.api import Compiled, Found, examples
from microgpt.engines.compiled.llvm.run import Program
from microgpt.engines.pytorch.run_nests import read_nests
from microgpt.engines.trees import FlatParameters, checked_arguments
from microgpt.errors import InputError

DEVICES = ("cpu", "cuda", "mps")


def chosen_device(name: str | None = None) -> torch.device:
    """The device of this name, or the fastest there is: CUDA, then Apple's MPS, then the CPU.

    Raises InputError if there is no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        return torch.device(next(kind for kind, found in there.items() if found))
    kind = name.partition(":")[0]
    if kind not in there:
        raise InputError(f"the device is {name!r:.80}: expected one of {', '.join(DEVICES)}")
    if not there[kind]:
        raise InputError(f"the device is {name}, which PyTorch does not find here: expected one of "
                         + ", ".join(k for k in DEVICES if there[k]))  # fmt: skip
    return torch.device(name)


class OnTorch(Compiled):
    """A function of one example as a function on tensors, for each shape of example that it has met."""

    def __init__(
        self,
        function: Callable[..., Any],
        threads: int | None = None,
        device: str | None = None,
        torch_compile: bool = False,
        verify: bool | None = None,
    ):
        super().__init__(function, threads, verify)
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = chosen_device(device)
        self.engine = f"torch on {self.device}{' compiled' * torch_compile}"
        self.torch_compile = torch_compile

    def tensor(self, numbers: np.ndarray) -> torch.Tensor:
        if self.device.type == "mps" and numbers.dtype == np.float64:
            raise InputError("the device mps has no float64: give float32 parameters, or another device")
        return torch.from_numpy(numbers if numbers.flags.writeable else numbers.copy()).to(self.device)

    def computed(
        self, program: Program, given: FlatParameters, p: torch.Tensor, arrays: list[np.ndarray], with_gradient: bool,
        shares: np.ndarray, torch_compile: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
        """The results of a program, and its gradient where each example has such a share: see `on_device`."""
        _, integers, floats = examples(program, arrays, given.dtype)
        key: Any = ("torch", str(self.device), p.dtype, with_gradient, torch_compile)
        if key not in program.plans:
            module = read_nests(program, given.shapes, with_gradient, p.dtype).to(self.device)
            program.plans[key] = torch.compile(module) if torch_compile else module.forward  # type: ignore[assignment]
        run: Any = program.plans[key]
        with torch.no_grad():
            return run(p, *map(self.tensor, (floats, integers, shares.astype(given.dtype))))

    def on_device(
        self, params: Any, p: torch.Tensor, arguments: tuple[Any, ...], with_gradient: bool,
        whole_batch: int | None = None,
    ) -> tuple[Program, torch.Tensor, torch.Tensor | None]:  # fmt: skip
        """The results [outputs, batch] and the gradient of the mean of the first one, flat as `p`: on the device.

        Args:
            params: the parameters as they are nested; their numbers are not read.
            p: their numbers, flat, on the device.
            whole_batch: over how many examples the mean is, if these are only a part of them.
        """
        given = self.parameters(params)
        arrays = checked_arguments(arguments)
        program = self.program(params, given.structure, arrays)
        if with_gradient and program.form != 0:
            raise TypeError(f"the loss returned a {type(program.form).__name__}: expected a single scalar")
        batch = len(arrays[0]) if arrays else 1
        shares = np.full(batch, 1 / (whole_batch or batch))
        results, gradient = self.computed(program, given, p, arrays, with_gradient, shares, self.torch_compile)
        if (self.engine, with_gradient) not in program.verified_on:
            self.check(program, given.like(params, p.cpu().numpy()), arrays, results.cpu().numpy(), with_gradient)
        return program, results, gradient

    def of_some(
        self, program: Program, params: Any, arrays: list[np.ndarray], with_gradient: bool, as_in: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same on the device; on the processor where the device has no double precision."""
        given, some = FlatParameters(params), len(arrays[0]) if arrays else 1
        if self.device.type == "mps" and given.dtype == np.float64:
            return super().of_some(program, params, arrays, with_gradient)
        if as_in and self.torch_compile:  # what PyTorch has compiled is for a whole batch, of which others do not count
            arrays = [array[np.arange(as_in) % some] for array in arrays]
        p, compiled = self.tensor(given.vector()), as_in > 0 and self.torch_compile
        shares = np.where(np.arange(len(arrays[0]) if arrays else 1) < some, 1 / some, 0.0)
        results, gradient = self.computed(program, given, p, arrays, with_gradient, shares, compiled)
        return results[:, :some].cpu().numpy(), np.zeros(0) if gradient is None else gradient.cpu().numpy()

    def run(self, params: Any, arguments: tuple[Any, ...], with_gradient: bool) -> Found:
        given = self.parameters(params)
        program, results, gradient = self.on_device(params, self.tensor(given.vector()), arguments, with_gradient)
        return program, results.cpu().numpy(), given, np.zeros(0) if gradient is None else gradient.cpu().numpy()
