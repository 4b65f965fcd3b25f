"""Runs a program of the clinic, and observes it: its losses, the norms of its tensors, and what it says in the end.

Each program runs in a process of its own, with a limit of time, because a sick one may never end.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite, sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

SECONDS = 60.0  # that a program may take


@dataclass
class Tensor:
    """The norms of one tensor at one step. The update is what the step changed, relative to the values."""

    gradient: float
    value: float
    update: float = 0.0


@dataclass
class Observation:
    """What a run has shown.

    `steps` are those at which tensors were observed; `error` is what stopped the run, with its line, if anything did.
    """

    losses: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    tensors: dict[str, list[Tensor]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    error: str = ""
    settings: dict[str, float] = field(default_factory=dict)  # the numbers in capitals, by name

    @property
    def start(self) -> dict[str, float]:
        """The settings, and the norms of the tensors at the first step."""
        return self.settings | {f"the norm of {name}": some[0].value for name, some in self.tensors.items()}

    @property
    def level(self) -> float:
        """The mean loss of the later half of the run; NaN if it did not get that far."""
        half = self.losses[len(self.losses) // 2 :]
        return sum(half) / len(half) if half and not self.error else float("nan")


def numbers(tensor: Any, attribute: str) -> list[float]:
    """The numbers of a tensor as a flat list: of an array, or an attribute of each Value in nested lists."""
    if hasattr(tensor, "ravel"):
        return [float(x) for x in tensor.ravel()]
    if isinstance(tensor, Sequence):
        return [x for part in tensor for x in numbers(part, attribute)]
    return [float(getattr(tensor, attribute))]


def norm(xs: list[float]) -> float:
    """The root of the sum of squares."""
    return sqrt(sum([x * x for x in xs]))


class Observer:
    """Is called at each step of a program, before the parameters change.

    Args:
        steps: the number of steps of the program. Tensors are observed at the first, in the middle and at the end.
    """

    def __init__(self, steps: int):
        self.found = Observation()
        self.observed = [1, steps // 2, steps - 1]
        self.before: dict[str, list[float]] = {}

    def __call__(self, step: int, loss: float, p: dict[str, Any], gradients: dict[str, Any] | None = None) -> None:
        self.found.losses.append(float(loss))
        if self.before:
            for name, values in self.before.items():
                tensor = self.found.tensors[name][-1]
                change = norm([a - b for a, b in zip(numbers(p[name], "data"), values, strict=True)])
                tensor.update = change / tensor.value if tensor.value else 0.0
            self.before = {}
        if step in self.observed:
            self.found.steps.append(step)
            for name in p:
                self.before[name] = values = numbers(p[name], "data")
                gradient = numbers(p[name] if gradients is None else gradients[name], "grad")
                self.found.tensors.setdefault(name, []).append(Tensor(norm(gradient), norm(values)))


def observe(path: Path, text: str) -> Observation:
    """Run a program here, and observe it."""
    module = ModuleType("patient")
    module.__file__ = str(path)
    sys.modules["patient"] = module
    observer = Observer(2)
    try:
        exec(compile(path.read_text(encoding="utf-8-sig"), str(path), "exec"), module.__dict__)
        observer = Observer(module.STEPS)
        numbers_in_capitals = {k: x for k, x in vars(module).items() if k.isupper() and isinstance(x, int | float)}
        observer.found.settings = numbers_in_capitals
        inputs = (text,) if "text" in module.train.__code__.co_varnames[: module.train.__code__.co_argcount] else ()
        observer.found.said = [str(one) for one in module.train(*inputs, observer)]
    except Exception as error:
        observer.found.error = described(error, path)
    return observer.found


def described(error: Exception, path: Path) -> str:
    """An error in a line, with the line of the program where it came from."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" in line {line}" if line else ""
    what = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}{where}: {what}"


def run(path: Path, text: Path) -> Observation:
    """Run a program in a process of its own, and observe it. A run that takes over a minute is ended."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", __spec__.name, str(path), str(text), str(result)]
        root = str(Path(__file__).parents[3])
        inherited = os.environ.get("PYTHONPATH")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *([inherited] if inherited else [])])}
        try:
            subprocess.run(command, env=environment, timeout=SECONDS, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return Observation(error=f"it was ended after {SECONDS:.0f} seconds: does a loop never end?")
        if not result.exists():
            return Observation(error="the process ended without a result")
        found = json.loads(result.read_text(encoding="utf-8"))
    tensors = {name: [Tensor(**one) for one in some] for name, some in found.pop("tensors").items()}
    return Observation(**found, tensors=tensors)


def is_finite(observation: Observation) -> bool:
    """Whether a run came to its end, with finite losses only."""
    return not observation.error and all(map(isfinite, observation.losses))


if __name__ == "__main__":
    program, text, result = map(Path, sys.argv[1:])
    found = observe(program, text.read_text(encoding="utf-8"))
    result.write_text(json.dumps(asdict(found)), encoding="utf-8")
