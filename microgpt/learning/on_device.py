"""Training with PyTorch: the parameters and the state of Adam stay on the device, in one process or several.

    torchrun --nproc-per-node 2 train.py --engine torch

runs train.py in several processes, on one machine or more. Each takes a share of every batch, and they add up their
gradients before each takes the same step. So they learn the same as one process, up to rounding.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgpt.adam import adam
from microgpt.engines.checking.replay import why_not_finite
from microgpt.engines.engine import BatchFunction
from microgpt.engines.pytorch.engine import chosen_device, torch  # which says what to do where there is none
from microgpt.errors import InputError
from microgpt.learning.parameters import Arrays
from microgpt.learning.single_process import process_count
from microgpt.learning.training import OptimizerState, Schedule, Steps

dist = torch.distributed
CHUNK = 32768  # parameters that Adam takes at a time on a CPU, so that its passes over them stay in the cache


@dataclass
class Processes:
    """The processes that train together, and the index of this one: see also single_process.py."""

    count: int = 1
    rank: int = 0
    device: str | None = None
    steps: "DeviceTraining | None" = None  # that they take

    @property
    def is_main(self) -> bool:
        """Whether this process writes and prints for all."""
        return self.rank == 0

    @property
    def exact(self) -> str:
        """A device with float64, for the check."""
        device = chosen_device(self.device)
        return "cpu" if device.type == "mps" else str(device)

    def training(
        self, step: Any, parameters: Arrays, batches: Any, schedule: Schedule, state: OptimizerState,
        observed: Callable[[int], bool] | None = None, update: Callable[..., None] | None = None,
    ) -> "DeviceTraining":  # fmt: skip
        """Return the steps of all processes together, with a function that `value_and_grad` made for PyTorch."""
        self.steps = DeviceTraining(step, parameters, batches, schedule, state, self, observed, update)
        return self.steps

    def fetch(self) -> None:
        """Copy the parameters and the state of Adam from the device to the host."""
        if self.steps is not None:
            self.steps.fetch()

    def agreed_to_stop(self, wanted: bool) -> bool:
        """Return whether this step was the last. All processes agree on it, if one of them wants to stop."""
        return self.steps.agreed_to_stop(wanted) if self.steps is not None else wanted

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """Call `make` on the main process and return its result in all. If the main process exits, the others exit
        quietly.
        """
        if self.count == 1:
            return make()
        parcel: list[Any] = [None]
        if self.is_main:
            try:
                parcel = [make()]
            except BaseException as error:
                dist.broadcast_object_list([error.code if isinstance(error, SystemExit) else 1])
                raise
        with process_lost("at the beginning"):
            dist.broadcast_object_list(parcel)
        if isinstance(parcel[0], int):
            raise SystemExit(parcel[0])
        return parcel[0]

    def share(self, batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Return this process's rows of a batch."""
        size = len(batch[0]) // self.count
        return tuple(array[self.rank * size : (self.rank + 1) * size] for array in batch)

    def close(self) -> None:
        """Wait until all processes are done and the main one has written, then leave the group."""
        if self.count > 1:
            with process_lost("at the end"):
                dist.barrier()
            dist.destroy_process_group()

    def description(self) -> str:
        """Return the device and the number of processes, for a message."""
        device = chosen_device(self.device)
        kind = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
        return f"computing with PyTorch {torch.__version__} on {kind}" + (
            f", {self.count} processes" if self.count > 1 else ""
        )

    def check(self, settings: Any) -> None:
        """Raise InputError unless every process gets as many rows of a batch."""
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        batch_size = settings.batch_size
        if batch_size % self.count:
            below, above = (batch_size // self.count * self.count + i * self.count for i in (0, 1))
            fitting = f"{below} or {above}" if below else f"{above}"
            raise InputError(
                f"--batch-size is {batch_size}, but {self.count} processes train together: "
                f"expected a multiple of {self.count}, such as {fitting}"
            )


def join(device: str | None) -> Processes:
    """Join the processes of torchrun; without torchrun, return the only process."""
    count = process_count()
    if count == 1:
        return Processes(device=device)
    chosen = chosen_device(device)
    name = chosen.type
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        if chosen.index is not None:
            raise InputError(f"--device is {device}, but each process needs a GPU of its own: give --device cuda")
        torch.cuda.set_device(name)
    with process_lost("at the beginning"):
        dist.init_process_group("nccl" if name.startswith("cuda") else "gloo")
    return Processes(count, dist.get_rank(), name)


@contextmanager
def process_lost(when: str) -> Iterator[None]:
    """Turn the error of torch.distributed about a lost process into a ConnectionError of one line."""
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(f"another process ended {when}") from error


class DeviceTraining(Steps):
    """Takes the steps of a schedule like `training.train`, all on the device, and yields an Update after each.

    The `update` is a rule as there; None for Adam.

    The parameters and the state on the host are those of the last `fetch()`. Several processes stop after the same
    step: see `agreed_to_stop`.
    """

    def __init__(
        self,
        step: BatchFunction,
        parameters: Arrays,
        batches: Iterable[tuple[Any, ...]],
        schedule: Schedule,
        state: OptimizerState,
        processes: Processes,
        observed: Callable[[int], bool] | None = None,
        update: Callable[..., None] | None = None,
    ):
        super().__init__(parameters, batches, schedule, state, observed)
        self.step, self.engine, self.processes = step, step.own_engine, processes
        self.stop_wanted = False
        self.on_host = self.vectors
        self.vectors = tuple(self.engine.tensor(array) for array in self.on_host)
        self.decay = self.engine.tensor(self.decay)
        self.rule: Callable[..., None] = update or adam_in_place
        self.numbers: Callable[[Any], Any] = tuple
        if self.engine.torch_compile and update is None:
            self.rule, self.numbers = torch.compile(compiled_adam), tensors_of

    def fetch(self) -> None:
        """Copy the parameters and moments to the host. On a CPU they are already there."""
        for array, tensor in zip(self.on_host, self.vectors, strict=True):
            if tensor.device.type != "cpu":
                array[...] = tensor.cpu().numpy()

    def agreed_to_stop(self, wanted: bool) -> bool:
        """Return whether this step was the last. All processes agree on it, if one of them wants to stop."""
        self.stop_wanted = self.stop_wanted or wanted
        if self.processes.count == 1:
            self.stopping = self.stop_wanted
        return self.stopping

    def gradient(self, step: int, batch: tuple[np.ndarray, ...]) -> tuple[float, torch.Tensor, float]:
        """Return the loss of a batch, its gradient and the norm. The two numbers leave the device together."""
        _, results, gradient = self.engine.on_device(
            self.parameters, self.vectors[0], self.processes.share(batch), True, len(batch[0])
        )
        loss = results[0].sum() / len(batch[0])
        stop = torch.full_like(loss, float(self.stop_wanted))
        if self.processes.count > 1:
            whole = torch.cat([gradient, torch.stack([loss, stop])])
            with process_lost(f"at step {step}"):
                dist.all_reduce(whole)
            gradient, loss, stop = whole[:-2], whole[-2], whole[-1]
        with process_lost(f"at step {step}"):  # where all_reduce is not waited for, it fails here
            found, norm, stops = torch.stack([loss, torch.linalg.vector_norm(gradient), stop]).tolist()
        self.stopping = bool(stops)
        return found, gradient, norm

    def update(self, gradient: Any, step: int, rate: float) -> None:
        vector, m, v = self.vectors
        with torch.no_grad():
            self.rule(vector, gradient, m, v, *self.numbers((step, rate)), self.decay)

    def copied(self, vector: Any) -> np.ndarray:
        return np.array(vector.cpu().numpy())

    def why_not_finite(self, batch: tuple[Any, ...]) -> str:
        self.fetch()
        return why_not_finite(self.step, self.parameters, batch)


def adam_in_place(
    parameter: torch.Tensor, gradient: torch.Tensor, m: torch.Tensor, v: torch.Tensor,
    step: Any, learning_rate: Any, weight_decay: torch.Tensor,
) -> None:  # fmt: skip
    """Take one step of Adam on flat vectors, in place: see `adam` for the arguments."""
    size = CHUNK if parameter.device.type == "cpu" else max(1, len(parameter))
    for p, g, m_part, v_part, decay in zip(
        *(t.split(size) for t in (parameter, gradient, m, v, weight_decay)), strict=True
    ):
        compiled_adam(p, g, m_part, v_part, step, learning_rate, decay)


def compiled_adam(
    parameter: torch.Tensor, gradient: torch.Tensor, m: torch.Tensor, v: torch.Tensor,
    step: Any, learning_rate: Any, weight_decay: torch.Tensor,
) -> None:  # fmt: skip
    """Take the same step in one piece, for PyTorch to compile."""
    found = adam(parameter, gradient, m, v, step, learning_rate, weight_decay=weight_decay)
    for tensor, new in zip((parameter, m, v), found, strict=True):
        tensor.copy_(new)


def tensors_of(numbers: tuple[float, ...]) -> tuple[torch.Tensor, ...]:
    """Return the step and the learning rate as tensors, so that PyTorch compiles the update only once."""
    return tuple(torch.tensor(number, dtype=torch.float64) for number in numbers)
