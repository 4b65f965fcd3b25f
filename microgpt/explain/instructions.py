"""What the compiler makes of a text: its array instructions, each with the strips that it computes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from microgpt.compiler.listing import described, instruction_of_rows, program_with_sources
from microgpt.explain.observe import observed
from microgpt.explain.strips import WATCHED, strips
from microgpt.parameters import Arrays


def instructions(
    loss: Callable[..., Any], parameters: Arrays, tokens: list[int], weights: list[float]
) -> list[dict[str, Any]]:
    """The instructions for a text, as the listing describes them; `keys` are those of the strips they compute."""
    with observed(WATCHED) as calls:
        program = program_with_sources(loss, parameters, np.array([tokens]), np.array([weights]))
    made_by = instruction_of_rows(program)
    found: list[dict[str, Any]] = [
        {"operation": line.operation, "rows": line.rows, "of": line.operands, "place": line.place, "code": line.code}
        | {"keys": []}
        for line in described(program)
    ]
    for strip in strips(calls[0]):
        for i in {made_by[scalar.node] for scalar in strip.scalars if getattr(scalar, "node", None) in made_by}:
            if strip.key not in found[i]["keys"]:
                found[i]["keys"].append(strip.key)
    return found
