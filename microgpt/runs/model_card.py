"""The README.md of a run: the model, its data, its quality, and how to load it."""

import json
import re
from pathlib import Path

from microgpt.learning.architecture import values_of
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.text import END, characters_of, closing
from microgpt.runs.checkpoint import Checkpoint
from microgpt.runs.kept_code import MODEL_FILE

CARD = """\
---
{library}pipeline_tag: text-generation
tags: [microgpt, {tag}{level}]
---

# {title}

A {level_of}{kind} with {parameters:,} parameters, trained by microgpt {version}. Every number in it comes from
five scalar operations. {shape}.

{about}{use}

{tokens}

## Data

{data} (SHA-256 of its text: {data_sha256}). {documents}

## Loss

The loss on held-out text is {loss:.4f} nats per {unit}, after {step:,} of {steps:,} steps. Before training it was
{initial_loss:.4f}.{on_all} The run began on {started}. Five samples:

{samples}

## Settings

{settings}

Every checkpoint writes this file anew, so do not edit it while the run goes on.
"""


IN_TRANSFORMERS = """\
```python
from transformers import pipeline
print(pipeline("text-generation", "{path}")("{prompt}")[0]["generated_text"])
```

A list of prompts works, too, {batches}. It also opens with `AutoModelForCausalLM` and `AutoTokenizer`."""

CHARACTERS = """\
Its {vocab_size} tokens are single characters: {end}these, in Python's notation:

{characters}"""

UNKNOWN = """

The error `Missing [UNK] token from the vocabulary` means that a prompt has another character. Remove or replace it.
This expression finds it: `set(prompt) - set(AutoTokenizer.from_pretrained("{path}").get_vocab())`."""

BY_ITS_CODE = """\
```python
from microgpt import load_run, sample
print(sample(load_run("{path}", trust=True), "{prompt}"))
```

This runs the code in `{file}`, which defines the model. Read it before you run that of somebody else."""


def model_card(checkpoint: Checkpoint, directory: Path) -> str:
    """Return the model card of a checkpoint in that run directory, in Markdown."""
    origin, model = checkpoint.origin, checkpoint.model
    config, own = origin.config, origin.model
    lines = origin.documents == "lines"
    first = next((sample for sample in model.samples if sample), "")
    path, prompt = _quoted(directory.as_posix()), _quoted(first[:2])
    end, pairs = closing(origin.vocabulary, origin.documents), isinstance(origin.vocabulary, BytePairs)
    batches = "also with `batch_size=`"
    if end is None:
        batches = "but without `batch_size=`, because this model has no character for padding"
    known = own is None or own.hugging_face is not None
    uses = "\n\n".join(([] if own is None else [BY_ITS_CODE]) + ([IN_TRANSFORMERS] if known else []))
    library = "library_name: transformers\n" if known else ""
    shape = {"Layers": "n_layer", "heads": "n_head", "width": "n_embd", "context": "n_positions"}
    sizes = ", ".join(f"{what}: {getattr(config, name)}" for what, name in shape.items()) if own is None else ""
    tokens = f"Its {config.vocab_size:,} tokens are parts of words, as byte pairs."
    if isinstance(origin.vocabulary, str):
        tokens = (CHARACTERS + (UNKNOWN if known else "")).format(
            vocab_size=config.vocab_size,
            end="U+0003 for the end of the text, and " if end == END else "",
            characters=_block(repr(characters_of(origin.vocabulary, origin.documents))),
            path=path,
        )
    return CARD.format(
        library=library,
        tag="gpt2" if own is None else own.name,
        level="" if pairs else ", character-level",
        level_of="" if pairs else "character-level ",
        kind="GPT-2" if own is None else f"model, {_inline(own.name)},",
        about=f"{own.about}\n\n" if own and own.about else "",
        use=uses.format(path=path, prompt=prompt, batches=batches, file=MODEL_FILE),
        tokens=tokens,
        title=f"A model of {_inline(origin.data)}",
        parameters=origin.parameters,
        shape=sizes or "; ".join([f"{name}: {value}" for name, value in values_of(config).items()]),
        version=origin.version,
        data=_inline(origin.data),
        data_sha256=f"`{origin.data_sha256}`",
        documents="Every line is a document that begins and ends with a newline."
        if lines
        else "It is one text. The model learned from windows of its first nine tenths; the last tenth was held out.",
        step=model.step,
        steps=origin.settings.get("steps", model.step),
        unit="token" if pairs else "character",
        loss=model.loss,
        initial_loss=checkpoint.initial_loss,
        on_all=""
        if model.loss_on_all is None
        else f" Both are for a part of that text; on all of it, the loss is {model.loss_on_all:.4f}.",
        started=_inline(origin.started),
        samples=_block(("\n" if lines else f"\n{'-' * 40}\n").join(model.samples)),
        settings=_block("\n".join(f"{name}: {value}" for name, value in origin.settings.items())),
    )


def path_in_card(card: str) -> str:
    """Return the run directory for which a card was written. Raises ValueError if the card is not ours."""
    begin = r'^(?:print\(pipeline\("text-generation",|print\(sample\(load_run\() ?("(?:[^"\\]|\\.)*")'
    found = re.search(begin, card, re.MULTILINE)
    return str(json.loads(found[1] if found else ""))


def _quoted(text: str) -> str:
    """Return a text for use between double quotes in Python."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _inline(text: str) -> str:
    """Return any text as inline code in Markdown."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _block(text: str) -> str:
    """Return any text as a code block in Markdown."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"
