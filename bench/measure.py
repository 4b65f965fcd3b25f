"""A process for each contender, which takes steps on demand; the contenders take turns."""

import gc
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from statistics import median
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
REST = 0.05  # seconds after which the threads of a library that is done have stopped looking for more

Step = Callable[[], Any]  # takes one step


class Contender:
    """A process that makes a step, and takes it as often as asked.

    Args:
        make: the function that returns the step, as "module:function". Only the process imports the module.
        arguments: of this function.
        threads: the number of threads of its libraries.
    """

    def __init__(self, make: str, *arguments: Any, threads: int = 1):
        self.make, self.arguments, self.threads = make, arguments, threads

    def __enter__(self) -> "Contender":
        spawning = get_context("spawn")
        self.connection, theirs = spawning.Pipe()
        self.process = spawning.Process(target=serve, args=(theirs, self.make, self.arguments), daemon=True)
        with patch.dict(os.environ, thread_limits(self.threads)):
            self.process.start()
        theirs.close()
        return self

    def __exit__(self, error: Any, *_: Any) -> None:
        if error is None:
            self.connection.send(0)
            self.process.join(timeout=10)
        self.process.kill()
        self.process.join()

    def seconds(self, calls: int) -> float:
        """Let it take some steps; return the seconds of each."""
        return self.told(calls)[0]

    def told(self, calls: int) -> tuple[float, float, int]:
        """Let it take some steps; return the seconds of each, and its peak memory, on the host and on a GPU.

        Raises ChildProcessError, with the reason, if it fails.
        """
        with suppress(ConnectionError):  # it may have ended, and have told why
            self.connection.send(calls)
        try:
            found = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            found = f"ended with {self.process.exitcode}"
        if isinstance(found, str):
            raise ChildProcessError(found)
        if self.threads > 1:
            time.sleep(REST)
        return found


def serve(connection: Connection, make: str, arguments: tuple[Any, ...]) -> None:
    """Run the process: receive a number of steps, send their seconds, and end at 0."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it
    try:
        step = resolve_name(make)(*arguments)
        while calls := connection.recv():
            gc.collect()
            if hasattr(step, "announce"):
                step.announce(calls)
            start = time.perf_counter()
            for _ in range(calls):
                step()
            connection.send(((time.perf_counter() - start) / calls, peak_memory(), peak_on_gpu()))
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def thread_limits(threads: int) -> dict[str, str]:
    """Return the environment that limits the threads of libraries; other limits are set at once."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC")
    xla = "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""
    return dict.fromkeys(names, str(threads)) | {"XLA_FLAGS": xla, "JAX_PLATFORMS": "cpu"}


def measure(contenders: dict[str, Contender], repeats: int, shortest: float = 0.02) -> dict[str, list[float]]:
    """Return the seconds a step of each contender, measured in turn. The contenders end afterwards."""
    calls, seconds = {}, {name: [] for name in contenders}
    with ExitStack() as running:
        for contender in contenders.values():
            running.enter_context(contender)
        for name, contender in contenders.items():
            try:
                contender.seconds(3)  # until all are ready, and warm
            except ChildProcessError as error:
                raise ChildProcessError(f"{name}: {error} (see --help to leave it out)") from None
        for name, contender in contenders.items():
            calls[name] = 1
            for _ in range(2):  # many steps may take less time than each alone
                calls[name] = max(1, round(shortest / contender.seconds(calls[name])))
        for _ in range(repeats):
            for name, contender in contenders.items():
                seconds[name].append(contender.seconds(calls[name]))
    return seconds


def speed_ratio(measured: dict[str, list[float]], name: str, reference: str) -> float:
    """Return how many times as fast as the reference it is: the median over the rounds with both."""
    return median(theirs / ours for ours, theirs in zip(measured[name], measured[reference], strict=True))


def peak_memory() -> float:
    """Return the peak memory of this process in bytes."""
    try:  # of this program alone; getrusage also counts the one that started it
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except OSError:
        try:
            import resource
        except ImportError:  # on Windows
            return math.nan
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_on_gpu() -> int:
    """Return the peak memory of PyTorch on a GPU in bytes."""
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_available() else 0


def three_digits(value: float) -> str:
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def tell(measured: dict[str, list[float]], reference: str, unit: str) -> None:
    """Print the median of each contender, its range, and its time relative to the reference."""
    print(unit)
    for name, seconds in measured.items():
        middle, least, most = (three_digits(1e6 * s) for s in (median(seconds), min(seconds), max(seconds)))
        ratio = three_digits(speed_ratio(measured, reference, name))
        print(f"  {name:48}{middle:>10}   {f'({least} to {most})':24}  x {ratio}")


def lasting(command: list[str], home: str) -> tuple[float, str]:
    """Run a command with only the caches in this home; return its seconds and its output."""
    environment = os.environ | {"HOME": home, "USERPROFILE": home, "MICROGPT_CACHE": f"{home}/kernels"}
    environment.pop("XDG_CACHE_HOME", None)
    start = time.perf_counter()
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    if ended.returncode != 0:
        raise ChildProcessError(f"{' '.join(command)} failed: {ended.stderr}")
    return time.perf_counter() - start, ended.stdout
