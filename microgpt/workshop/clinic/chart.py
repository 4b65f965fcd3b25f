"""Draws what was observed of a program, for a terminal of 80 columns."""

from microgpt.runs.terminal_plot import plotted
from microgpt.workshop.clinic.ward import Observation, Tensor

SHOWN = 9  # tensors that are shown, all of them


def table(observation: Observation) -> list[str]:
    """The norms of tensors at the first step and in the middle: of gradients and values, and the updates."""
    if not observation.tensors:
        return []
    steps = observation.steps[:2]
    head = "".join(f"{f'gradient, step {step}':>20}{'update':>10}" for step in steps)
    lines = [f"  {'norms of':<14}{head}"]
    names = list(observation.tensors)
    if len(names) > SHOWN:  # of many tensors the tables and matrices, of many layers the first and the last
        names = [name for name in names if not name.endswith(("gain", "bias"))]
        layers = sorted({name.partition(".")[0] for name in names if "." in name})
        names = [name for name in names if name.partition(".")[0] not in layers[1:-1]]
    for name in names:
        found: list[Tensor] = observation.tensors[name][: len(steps)]
        cells = "".join(f"{shown(one.gradient):>20}{percent(one):>10}" for one in found)
        lines.append(f"  {name:<14}{cells}")
    return lines


def percent(tensor: Tensor) -> str:
    """The update of a tensor, in percent of its values."""
    return f"{shown(100 * tensor.update)} %" if tensor.value else "from 0"


def shown(x: float) -> str:
    """A norm with three digits."""
    return "0" if x == 0 else f"{x:.3g}" if 0.001 <= abs(x) < 1000 else f"{x:.1e}"


def findings(observation: Observation) -> list[str]:
    """All that was observed, line by line."""
    lines = ["The loss:", "", *plotted({"*": list(enumerate(observation.losses, 1))}), "", *table(observation)]
    if observation.said:
        lines += ["", "In the end: " + "  ".join([one or "(empty)" for one in observation.said])]
    if observation.error:
        lines += ["", f"It stopped: {observation.error}"]
    return lines
