"""The table of models.md: how well each model of examples/models learns, from three seeds on two texts.

The runs are kept in runs/models, one after the other: what is done stays, and what was interrupted goes on.
"""

import statistics
import subprocess
import sys
from pathlib import Path

from microgpt.commands.sweep import best_loss, is_done
from microgpt.runs.checkpoint import checkpoints, load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
TEXTS = {"names": "", "shakespeare": "--data data/shakespeare.txt --steps 800"}  # and the options of train.py
MODELS = {  # and their options for Shakespeare
    "gpt": "",
    "llama": "--n-embd 64 --n-layer 4 --n-hidden 176",
    "gru": "--n-embd 64 --n-hidden 192",
    "moe": "--n-embd 64 --n-layer 2 --n-hidden 64",
    "ssm": "--n-embd 64 --n-layer 4",
    "no_attention": "--n-embd 24 --n-hidden 256 --window 16",
}


def place(model: str, text: str, seed: int) -> Path:
    """The run directory of a model."""
    return ROOT / "runs" / "models" / f"{model}-{text}-{seed}"


def options_of(model: str, text: str) -> list[str]:
    """The options of train.py for a model and a text."""
    file = [] if model == "gpt" else ["--model", f"examples/models/{model}.py"]
    return [*file, *TEXTS[text].split(), *(MODELS[model].split() if text == "shakespeare" else [])]


def train(model: str, text: str, seed: int) -> None:
    """Train a model, unless that is done."""
    run = place(model, text, seed)
    if is_done(run):
        return
    new = [*options_of(model, text), "--seed", str(seed), "--out", run]
    options = ["--resume", run, "--trust"] if checkpoints(run) else new
    subprocess.run([sys.executable, "train.py", *options], check=True, cwd=ROOT)


def row(model: str) -> str:
    """The line of a model in the table. What was not trained has a hyphen."""
    cells = ["the book's GPT" if model == "gpt" else f"[{model}](../examples/models/{model}.py)"]
    for text in TEXTS:
        runs = [place(model, text, seed) for seed in SEEDS]
        if not all(map(is_done, runs)):
            cells += ["-"] * 3
            continue
        losses = [best_loss(run) for run in runs]
        seconds = [float((run / "metrics.csv").read_text().split()[-1].rpartition(",")[2]) for run in runs]
        spread = f"{statistics.fmean(losses):.3f} ± {statistics.stdev(losses):.3f}"
        cells += [spread, f"{load_checkpoint(runs[0]).origin.parameters:,}", f"{statistics.median(seconds):.0f}"]
    return f"| {' | '.join(cells)} |\n"


def with_table(page: str) -> str:
    """The page with the table of the runs that there are."""
    rule = "| --- " * (1 + 3 * len(TEXTS)) + "|\n"
    before, after = page.split(rule)
    return before + rule + "".join(map(row, MODELS)) + after[after.index("\n\n") + 1 :]
