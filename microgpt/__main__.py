"""All commands: `microgpt` where the package is installed, `python -m microgpt` elsewhere; see --help."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from microgpt.commands.options import MISUSED
from microgpt.commands.script import run_script
from microgpt.errors import InputError

USAGE = """usage: {program} COMMAND [OPTIONS]

train     train a GPT, or a model of yours, on a text
sample    write new text with a trained model
explain   write a page on which every number of a prediction opens, down to its atoms
learn     the workshop: write the book yourself, function by function
tour      from + to a GPT that writes, in short steps
compare   draw the losses of some runs in one picture, and say in what their settings differ
evaluate  say how well a run, or a GPT-2, predicts a text: loss and perplexity
sweep     run train, or a script with its options, with all combinations of the values that stand between
          commas, a process a core; say mean and spread over the seeds; the same command goes on where it stopped
explain FILE.py
          write a page on which every number of a loss opens, can be changed, and is trained: the file has a function
          `loss(params, ...)`, the arrays `params`, and each other argument by its name, or all of them in a tuple
          `data`; they are arrays whose first axis is the batch, as for value_and_grad

{program} train | sample | explain | learn | tour | evaluate --help
{program} compare RUN RUN ... [--out FILE.svg] [--json]
{program} sweep train|SCRIPT --OPTION VALUE,VALUE,... [--OPTION VALUE ...] [--out DIRECTORY]
{program} explain FILE.py [--out FILE.html] [--open]"""
WITH_OPTIONS = ("train", "sample", "explain", "learn", "tour", "evaluate")  # these have a help of their own


def compare(arguments: list[str]) -> int:
    """Print and draw some runs side by side."""
    from microgpt.runs.comparison import compared, draw, picture, table
    from microgpt.runs.facts import facts_of

    if "--json" in arguments:
        given = [Path(run) for run in arguments if run != "--json" and not Path(run).is_file()]
        print(json.dumps({"runs": [facts_of(run) for run in given]}, ensure_ascii=False))
        return 0
    path = Path("runs") / "compare.svg"
    if "--out" in arguments:
        at = arguments.index("--out")
        if at + 1 == len(arguments):
            raise InputError("--out: expected a file, such as losses.svg")
        path = Path(arguments[at + 1])
        arguments = arguments[:at] + arguments[at + 2 :]
    # beside the runs of a sweep are files: texts of what they printed, and sweep.json
    runs = compared([Path(argument) for argument in arguments if not Path(argument).is_file()])
    print("training loss, a running mean", *picture(runs), "", *table(runs), sep="\n")
    print(f"\ndrawn in {draw(runs, path)}")
    return 0


def names_a_file(arguments: list[str]) -> bool:
    """Return whether `explain` is to explain a file: before its options, or after them."""
    before, last = ("", "", *arguments)[-2:]
    return arguments[:1] != [] and (
        not arguments[0].startswith("-")
        or (last.endswith(".py") and (before == "--open" or not before.startswith("-")))
    )


def main() -> int:
    called = Path(sys.argv[0]).stem
    program = "python -m microgpt" if called == "__main__" else called
    command, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    helps = bool({"-h", "--help"} & {command, *arguments})
    sys.argv = [f"{program} {command}", *arguments]  # by which messages know how one calls commands here
    if command == "--version":
        print(import_module("microgpt.names").__version__)
        return 0
    if command == "explain" and names_a_file(arguments):
        from microgpt.commands.own_loss import explain_file

        return explain_file(arguments)
    if command in WITH_OPTIONS:
        code: int = import_module(f"microgpt.commands.{command}").main()
        return code
    if command == "compare" and arguments and not helps:
        return compare(arguments)
    if command == "sweep" and arguments and not helps:
        from microgpt.commands.sweep import planned, sweep

        return sweep(*planned(Path(arguments[0]), arguments[1:]))
    print(USAGE.format(program=program), file=sys.stdout if helps else sys.stderr)
    return 0 if helps else MISUSED


def run() -> NoReturn:
    """Run a command, as the program `microgpt` of an installed package does."""
    run_script(main)


if __name__ == "__main__":
    run()
