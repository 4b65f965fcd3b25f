"""Which engine runs a function: the one place that imports an engine, and only the one that was asked for."""

from collections.abc import Callable
from typing import Any

from microgpt.engines.scalar import ScalarEngine
from microgpt.errors import InputError

ENGINES = ("compiled", "scalar", "torch")


def engine_for(
    function: Callable[..., Any],
    engine: str = "compiled",
    threads: int | None = None,
    device: str | None = None,
    torch_compile: bool = False,
    verify: bool | None = None,
) -> Any:
    """The engine of this name for a function of one example, with methods `value_and_grad` and `evaluate`.

    Of what `value_and_grad` returned it takes the loss, and shares what is recorded. Raises as `check_engine` does.
    """
    check_engine(engine, device, torch_compile)
    of_one = loss_in(function)
    found: Any
    if engine == "scalar":
        return ScalarEngine(of_one)
    if engine == "torch":
        from microgpt.engines.pytorch.engine import OnTorch  # only now, because PyTorch is an extra

        found = OnTorch(of_one, threads, device, torch_compile, verify)
    else:
        from microgpt.engines.compiled.api import Compiled  # only now, because this imports LLVM

        found = Compiled(of_one, threads, verify)
    if of_one is not function:
        found.programs = getattr(function.own_engine, "programs", found.programs)  # type: ignore[attr-defined]
    return found


def loss_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of one example in what `value_and_grad` or `evaluate` returned; any other function as it is."""
    return getattr(function, "of_one", function)


def check_engine(engine: str, device: str | None = None, torch_compile: bool = False) -> None:
    """Raise ValueError unless there is such an engine, and InputError if it has no such device or cannot do that."""
    if engine not in ENGINES:
        raise ValueError(f"there is no engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if engine != "torch" and device not in (None, "cpu"):
        raise InputError(
            f'device is {device!r}, but the engine {engine!r} computes on the processor: give engine="torch"'
        )
    if engine != "torch" and torch_compile:
        raise InputError(f'torch_compile is for the engine "torch", and the engine is {engine!r}: give engine="torch"')
