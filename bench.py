"""Measure the speed, each contender beside the others: python bench.py --help

Machines differ, and change with time, so compare ratios. Each contender takes its steps in its own process, and the
processes take turns, again and again: while one works, the others sleep. So all meet the same machine, and no threads
disturb another contender. PyTorch and JAX take part if they are installed, C written by hand
(bench/contenders/by_hand.c) if there is a compiler for it.

    table      a training step of many shapes: microgpt, its engine torch, PyTorch, JAX, C, and this processor's limit
    large      the same of large models in small batches, beside PyTorch's own modules, too
    scalar     the compiled engine beside the scalar one and the form that textbooks give it
    loop       what train.py's loop adds to its steps
    writing    names and prose, beside numpy
    first-run  train.py with no kernels on the disk, and with them
    scale      a model of 109 million scalar operations: time to the first step and to other lengths, and memory
    programs   loops as people write them (bench/programs/): time and memory until they are ready, and a step
    gpt2       GPT-2 itself, 124 million parameters: writing and training; only if asked for, since it takes 12 GB
    busy       one thread and all of them, alone and while another program keeps a core busy
    outgrow    every engine on ever larger models, which takes half an hour; only if asked for
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import sections
from bench.computer import this_computer
from bench.outgrow import ENGINES, outgrow
from bench.program_rows import PROGRAMS, programs
from bench.table import ROWS, large, table
from microgpt.commands.options import POSITIVE, Must, Options, option, parse
from microgpt.commands.script import run_script
from microgpt.runs.files import check_place

SECTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "table": table,
    "large": large,
    "scalar": sections.scalar,
    "loop": sections.loop,
    "writing": sections.writing,
    "first-run": sections.first_run,
    "scale": sections.scale,
    "programs": programs,
    "gpt2": sections.gpt2,
    "busy": sections.busy,
    "outgrow": outgrow,
}
MODELS = [*dict.fromkeys(row.model for row in ROWS)]
USUAL = ",".join(name for name in SECTIONS if name not in ("gpt2", "outgrow"))


def some_of(known: Any) -> Must:
    """Return the condition on an option that lists some of the known names, with commas between."""
    return f"some of {','.join(known)}", lambda text: all(name in known for name in text.split(","))


def are_sizes(text: str) -> bool:
    """Return whether a text lists shapes such as 64x2x64."""
    shapes = [shape.split("x") for shape in text.split(",")]
    return all(len(shape) == 3 and all(n.isdecimal() and int(n) for n in shape) for shape in shapes)


@dataclass
class Settings(Options):
    sections: str = option(USUAL, "what to measure, with commas between", must=some_of(SECTIONS))
    models: str = option(
        ",".join(MODELS), "the table's models: n_embd x layers x positions, with commas between", must=some_of(MODELS)
    )
    repeats: int = option(11, "measurements of each contender, in turn; the median counts", must=POSITIVE)
    torch: str = option("yes", "also measure PyTorch, if it is installed", ("yes", "no"))
    torch_compile: str = option("no", "also measure torch.compile, which takes a minute a model", ("yes", "no"))
    jax: str = option("yes", "also measure JAX, if it is installed", ("yes", "no"))
    c: str = option("yes", "also measure C written by hand, if there is a compiler: CC, cc, gcc, clang", ("yes", "no"))
    programs: str = option(
        ",".join(PROGRAMS), "the programs of that section, with commas between", must=some_of(PROGRAMS)
    )
    scale: int = option(8, "how large these programs are", must=POSITIVE)
    sizes: str = option(
        "64x2x64,128x4x64,256x6x128,384x6x256",
        "the models of outgrow: n_embd x layers x positions, with commas between",
        must=("such as 64x2x64,128x4x64", are_sizes),
    )
    engines: str = option(
        "compiled,torch,torch-compile", "the engines of outgrow, with commas between", must=some_of(ENGINES)
    )
    device: str | None = option(None, "where PyTorch computes in outgrow", ("cpu", "cuda", "mps"))
    json: str | None = option(None, "a file to write all measurements to")


def main() -> int:
    settings = parse(Settings, "Measure microgpt, PyTorch, JAX and C side by side.")
    if settings.json is not None:
        check_place("json", settings.json, "bench.json")
    found: dict[str, Any] = {"machine": this_computer()}
    print(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
    for name in settings.sections.split(","):
        print(f"\n{name}: {SECTIONS[name].__doc__}")
        found[name] = SECTIONS[name](settings)
        if settings.json is not None:  # after each, so that little is lost
            Path(settings.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_script(main)
