"""The array instructions that the compiler makes of a text, each with the strips that are its results."""

from collections.abc import Callable
from typing import Any

import numpy as np

from microgpt.engines.compiled.listing import described, instructions_of_rows, program_with_sources
from microgpt.explain.observe import observed
from microgpt.explain.strips import WATCHED, strips
from microgpt.learning.parameters import Arrays


def instructions(
    loss: Callable[..., Any], parameters: Arrays, tokens: list[int], weights: list[float]
) -> list[dict[str, Any]]:
    """Return the instructions for a text, as the listing describes them.

    `keys` are those of the strips that are results of an instruction. `way` are those of intermediate strips, which its
    loop computes but does not store, so that other loops may compute them, too. Strips that an instruction only reads
    are in neither.
    """
    with observed(WATCHED) as calls:
        # Each position is called by itself, because its strips are found by the calls.
        program = program_with_sources(loss, parameters, np.array([tokens]), np.array([weights]), statements=False)
    results, on_the_way = instructions_of_rows(program)
    found: list[dict[str, Any]] = [
        {"operation": line.operation, "rows": line.rows, "of": line.operands, "place": line.place, "code": line.code}
        | {"keys": [], "way": []}
        for line in described(program)
    ]
    for strip in strips(calls[0]):
        if strip.key.endswith(".input"):  # another name for numbers that have one already
            continue
        for row in {getattr(scalar, "node", -1) for scalar in strip.scalars}:
            made_by = [results[row]] if row in results else []
            for kind, numbers in (("keys", made_by), ("way", on_the_way.get(row, []))):
                for i in numbers:
                    if strip.key not in found[i][kind]:
                        found[i][kind].append(strip.key)
    return found
