"""Draws what was observed of a program, for a terminal of 80 columns."""

from math import isfinite

from microgpt.workshop.clinic.ward import Observation, Tensor

WIDTH, HEIGHT = 60, 10  # of a curve, in characters
SHOWN = 9  # tensors that are shown, all of them


def curve(losses: list[float]) -> list[str]:
    """The lines of a picture of losses: a star for the mean of some steps, ^ for one above the picture."""
    finite = [loss for loss in losses if isfinite(loss)]
    if not finite:
        return ["  every loss is NaN"] if losses else ["  there is no loss"]
    columns = min(WIDTH, len(losses))
    parts = [losses[i * len(losses) // columns : (i + 1) * len(losses) // columns] for i in range(columns)]
    means = [sum(part) / len(part) for part in parts]
    ordered = sorted([mean for mean in means if isfinite(mean)])
    low, usual = ordered[0], ordered[max(0, len(ordered) * 9 // 10 - 1)]
    high = max(low + 1.3 * (usual - low), low + 0.01)
    rows = [[" "] * columns for _ in range(HEIGHT)]
    for column, mean in enumerate(means):
        if isfinite(mean):
            place = round((min(mean, high) - low) / (high - low) * (HEIGHT - 1))
            rows[HEIGHT - 1 - place][column] = "^" if mean > high else "*"
    labels = {0: f"{high:.2f}", HEIGHT - 1: f"{low:.2f}"}
    above = [f"{'':10} ^ is above this picture: up to {shown(max(finite))}"] if max(finite) > high else []
    lines = [f"{labels.get(i, ''):>9} |{''.join(row).rstrip()}" for i, row in enumerate(rows)]
    steps = f"step {len(losses)}"
    axis = [" " * 10 + "+" + "-" * columns, " " * 11 + "1" + steps.rjust(max(columns - 1, len(steps) + 1))]
    return [*lines, *axis, *above]


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
    lines = ["The loss:", "", *curve(observation.losses), "", *table(observation)]
    if observation.said:
        lines += ["", "In the end: " + "  ".join([one or "(empty)" for one in observation.said])]
    if observation.error:
        lines += ["", f"It stopped: {observation.error}"]
    return lines
