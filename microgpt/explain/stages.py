"""The page of a model too large to open number by number, such as GPT-2: what each stage of it knew.

For each token it shows the chances of the next one, what they would be if the layers ended earlier (the logit lens,
nostalgebraist 2020), and where each head looks. The numbers come from layers.py; the page only draws them.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.errors import InputError, counted
from microgpt.explain.explanation import LARGEST_PROGRAM
from microgpt.learning.layers import Reader
from microgpt.learning.parameters import parameter_count
from microgpt.learning.sampling import sample
from microgpt.runs.directory import Run

PARTS = Path(__file__).parent / "page"
MOST = 64  # tokens of a text
LIKELIEST, OF_STAGE = 12, 3  # tokens that are shown with their chances


def stages_page(run: Run, text: str) -> tuple[str, int]:
    """Return the page for a text, and about how many operations its prediction takes.

    Raises InputError for a text without a token, or with too many.
    """
    tokens, most = run.vocabulary.encode(text), min(MOST, run.config.n_positions)
    if not 1 <= len(tokens) <= most:
        raise InputError(f"the text has {counted(len(tokens), 'token')}: expected 1 to {most}")
    content, attention = stages_of(run, tokens)
    content |= {"operations": operations_of(run, len(tokens)), "most": LARGEST_PROGRAM}
    inserts = {
        "style": (PARTS / "page.css").read_text(encoding="utf-8"),
        "script": (PARTS / "stages.js").read_text(encoding="utf-8"),
        "content": json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),  # no text ends its element
        "attention": base64.b64encode(attention.tobytes()).decode(),
    }
    page = (PARTS / "stages.html").read_text(encoding="utf-8")
    return re.sub("{{(style|script|content|attention)}}", lambda mark: inserts[mark[1]], page), content["operations"]


def operations_of(run: Run, tokens: int) -> int:
    """Return about how many operations some tokens take: a product and a sum for each parameter that is not picked."""
    return 2 * tokens * (parameter_count(run.config) - run.config.n_positions * run.config.n_embd)


def stages_of(run: Run, tokens: list[int]) -> tuple[dict[str, Any], np.ndarray]:
    """Return what the page is given: names and chances, and the weights [layers, heads, tokens, tokens] as bytes."""
    reader, count = Reader(run.config, run.parameters), len(tokens)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    last = reader.read(tokens, lambda layer, x, looks: seen.append((x, looks)))
    weights = [reader.weights(layer, looks)[:, :, :count] for layer, (_, looks) in enumerate(seen)]
    attention = np.round(255 * np.stack(weights).swapaxes(1, 2)).astype(np.uint8)
    following = [*tokens[1:], None]
    stages = [stage_of(run, reader.logits(x), following, OF_STAGE) for x in [*(x for x, _ in seen), last]]
    chances = stage_of(run, reader.logits(last), following, LIKELIEST)
    content = {
        "tokens": [run.vocabulary[token] for token in tokens], "model": str(run.directory),
        "layers": run.config.n_layer, "heads": run.config.n_head, "stages": stages, "chances": chances,
    }  # fmt: skip
    return content, attention


def stage_of(run: Run, logits: np.ndarray, following: list[int | None], most: int) -> list[dict[str, Any]]:
    """Return for each position the likeliest tokens with their chances, and the chance of the token that follows."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    chances = np.exp(shifted)
    chances /= chances.sum(axis=1, keepdims=True)
    found = []
    for row, token in zip(chances, following, strict=True):
        likeliest = np.argsort(-row, kind="stable")[:most].tolist()
        named = [[run.vocabulary[one], round(float(row[one]), 6)] for one in likeliest]
        found.append({"likeliest": named, "following": None if token is None else float(row[token])})
    return found


def text_for(run: Run) -> str:
    """Return a text to explain: the beginning of the held-out part, or one that the model writes."""
    if run.text is not None:
        held_out = run.vocabulary.encode(run.text)[-(len(run.vocabulary.encode(run.text)) // 10) :]
        return str(run.vocabulary.decode(held_out[:16]))
    return sample(run, max_new_tokens=16) or "\n"
