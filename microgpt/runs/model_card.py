"""The README.md of a run: what the model is, what it learned from, how well, and how to load it."""

import json
import re
from pathlib import Path

from microgpt.learning.parameters import parameter_count
from microgpt.learning.text import END, characters_of, closing
from microgpt.runs.checkpoint import Checkpoint

CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
tags: [microgpt, gpt2, character-level]
---

# {title}

A character-level GPT-2 with {parameters:,} parameters, trained by microgpt {version}. Every number in it comes from
five scalar operations. {shape}.

```python
from transformers import pipeline
print(pipeline("text-generation", "{path}")("{prompt}")[0]["generated_text"])
```

A list of prompts will do as well, {batches}. It also opens with `AutoModelForCausalLM` and `AutoTokenizer`.

Its {vocab_size} tokens are single characters: {end}these, as Python writes them:

{characters}

The error `Missing [UNK] token from the vocabulary` means that a prompt has another character. Leave it out, or put one
of these in its place; `set(prompt) - set(AutoTokenizer.from_pretrained("{path}").get_vocab())` names it.

## What it learned from

{data} (SHA-256 of its text: {data_sha256}). {documents}

## How well

After {step:,} of {steps} steps the loss is {loss:.4f} nats per character on text that was held out from training
(validation); before the first step it was {initial_loss:.4f}.{on_all} Begun on {started}. Five samples:

{samples}

## Settings

{settings}

Written at every checkpoint: what is added here is overwritten when the run goes on.
"""


def model_card(checkpoint: Checkpoint, directory: Path) -> str:
    """The model card of a checkpoint in that run directory, in Markdown."""
    origin, model = checkpoint.origin, checkpoint.model
    config = origin.config
    lines = origin.documents == "lines"
    first = next((sample for sample in model.samples if sample), "")
    path, prompt = _quoted(directory.as_posix()), _quoted(first[:2])
    end = closing(origin.vocabulary, origin.documents)
    return CARD.format(
        batches="but without `batch_size=`: this model has no character to fill up the shorter ones with"
        if end is None
        else "with `batch_size=` several at a time",
        end="U+0003, which stands for the end of the text, and " if end == END else "",
        characters=_block(repr(characters_of(origin.vocabulary, origin.documents))),
        title=f"A model of {_inline(origin.data)}",
        parameters=parameter_count(config),
        shape=f"Layers: {config.n_layer}, heads: {config.n_head}, numbers a position: {config.n_embd}, "
        f"positions: {config.n_positions}",
        version=origin.version,
        path=path,
        prompt=prompt,
        vocab_size=config.vocab_size,
        data=_inline(origin.data),
        data_sha256=f"`{origin.data_sha256}`",
        documents="Every line is a document: it begins and ends with a newline."
        if lines
        else "It is one text: the model learned from windows that begin anywhere in its first nine tenths; "
        "the last tenth was held out.",
        step=model.step,
        steps=origin.settings.get("steps", model.step),
        loss=model.loss,
        initial_loss=checkpoint.initial_loss,
        on_all=""
        if model.loss_on_all is None
        else f" Both are of a part of that text; on all of it, the loss is {model.loss_on_all:.4f}.",
        started=_inline(origin.started),
        samples=_block(("\n" if lines else f"\n{'-' * 40}\n").join(model.samples)),
        settings=_block("\n".join(f"{name}: {value}" for name, value in origin.settings.items())),
    )


def path_in_card(card: str) -> str:
    """The run directory for which a card was written. Raises ValueError if it is none of ours."""
    found = re.search(r'^print\(pipeline\("text-generation", ("(?:[^"\\]|\\.)*")', card, re.MULTILINE)
    return str(json.loads(found[1] if found else ""))


def _quoted(text: str) -> str:
    """Some text for between double quotes in Python."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _inline(text: str) -> str:
    """Some text as inline code, whatever is in it."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _block(text: str) -> str:
    """Some text as a block of code, whatever is in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"
