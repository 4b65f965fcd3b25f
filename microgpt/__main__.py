"""Commands about runs, and about a file of yours: python -m microgpt compare, evaluate, sweep and explain"""

import json
import sys
from pathlib import Path
from typing import NoReturn

from microgpt.commands.evaluate import evaluate
from microgpt.commands.options import MISUSED
from microgpt.commands.own_loss import explain_file
from microgpt.commands.script import run_script
from microgpt.commands.sweep import planned, sweep
from microgpt.errors import InputError
from microgpt.runs.comparison import compared, draw, picture, table
from microgpt.runs.facts import facts_of

USAGE = """usage: python -m microgpt compare RUN RUN ... [--out FILE.svg] [--json]
       python -m microgpt evaluate --run RUN --data FILE [--json]
       python -m microgpt sweep SCRIPT --OPTION VALUE,VALUE,... [--OPTION VALUE ...] [--out DIRECTORY]
       python -m microgpt explain FILE.py [--out FILE.html] [--open]

compare   draw the losses of some runs in one picture, and say in what their settings differ
evaluate  say how well a run, or a GPT-2, predicts a text: loss and perplexity
sweep     run train.py, or a script with its options, with all combinations of the values that stand between
          commas, a process a core; say mean and spread over the seeds; the same command goes on where it stopped
explain   write a page on which every number of a loss opens, can be changed, and is trained: the file has a function
          `loss(params, ...)`, the arrays `params`, and each other argument by its name, or all of them in a tuple
          `data`; they are arrays whose first axis is the batch, as for value_and_grad"""


def compare(arguments: list[str]) -> int:
    """Print and draw some runs side by side."""
    if "--json" in arguments:
        given = [Path(run) for run in arguments if run != "--json" and not run.endswith(".txt")]
        print(json.dumps({"runs": [facts_of(run) for run in given]}, ensure_ascii=False))
        return 0
    path = Path("runs") / "compare.svg"
    if "--out" in arguments:
        at = arguments.index("--out")
        if at + 1 == len(arguments):
            raise InputError("--out: expected a file, such as losses.svg")
        path = Path(arguments[at + 1])
        arguments = arguments[:at] + arguments[at + 2 :]
    # beside the runs of a sweep are texts, of what they printed
    runs = compared([Path(argument) for argument in arguments if not argument.endswith(".txt")])
    print("training loss, a running mean", *picture(runs), "", *table(runs), sep="\n")
    print(f"\ndrawn in {draw(runs, path)}")
    return 0


def main() -> int:
    command, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if command == "compare" and arguments:
        return compare(arguments)
    if command == "evaluate":
        return evaluate(arguments)
    if command == "sweep" and arguments:
        return sweep(*planned(Path(arguments[0]), arguments[1:]))
    if command == "explain" and arguments and not {"-h", "--help"} & set(arguments):
        return explain_file(arguments)
    if command in ("-h", "--help") or {"-h", "--help"} & set(arguments):
        print(USAGE)
        return 0
    print(USAGE, file=sys.stderr)
    return MISUSED


def run() -> NoReturn:
    """Run a command, as the program `microgpt` of an installed package does."""
    run_script(main)


if __name__ == "__main__":
    run()
