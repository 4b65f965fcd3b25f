"""What the compiler makes of a text: its array instructions, each with the strips that it computes."""

from functools import partial
from typing import Any

import numpy as np

from microgpt import gpt
from microgpt.compiler.listing import described, program_with_sources
from microgpt.explain.observe import observed
from microgpt.explain.strips import WATCHED, strips
from microgpt.run_directory import Run


def instructions(run: Run, tokens: list[int]) -> list[dict[str, Any]]:
    """The instructions for a text, as the listing describes them; `keys` are those of the strips they compute."""
    weights = [1 / (len(tokens) - 1)] * (len(tokens) - 1)
    with observed(WATCHED) as calls:
        loss = partial(gpt.loss, config=run.config)
        program = program_with_sources(loss, run.parameters, np.array([tokens]), np.array([weights]))
    made_by = {int(node): i for i, one in enumerate(program.layout.instructions) for node in one.nodes}
    found: list[dict[str, Any]] = [
        {"operation": line.operation, "rows": line.rows, "of": line.operands, "place": line.place, "code": line.code}
        | {"keys": []}
        for line in described(program)
    ]
    for strip in strips(calls[0]):
        for i in {made_by[scalar.index] for scalar in strip.scalars if getattr(scalar, "index", None) in made_by}:
            if strip.key not in found[i]["keys"]:
                found[i]["keys"].append(strip.key)
    return found
