"""Runs a script with every combination of some settings, and says mean and spread.

Each combination is a process, as many at a time as there are cores, and a run directory of its own. What is there is
not run again, and what was interrupted is resumed. So a sweep goes on where it was stopped.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from microgpt.errors import InputError
from microgpt.runs.checkpoint import checkpoints, load_checkpoint
from microgpt.runs.files import write_file
from microgpt.surroundings import own_command

PAUSE = 0.05  # seconds between two looks at the processes
PLAN = "sweep.json"
TRAIN = "train"  # in place of a script: the command


@dataclass(frozen=True)
class Plan:
    """A script, its fixed arguments, and the values of each setting that varies, by its option."""

    script: Path
    fixed: tuple[str, ...]
    varied: dict[str, tuple[str, ...]]

    def combinations(self) -> Iterator[dict[str, str]]:
        """The product of all values, those of the last option running fastest."""
        for values in itertools.product(*self.varied.values()):
            yield dict(zip(self.varied, values, strict=True))


def planned(script: Path, arguments: list[str]) -> tuple[Plan, Path]:
    """Return the plan of a command line, and the directory of the sweep.

    An option whose value has commas varies. Raises InputError if none does, or for --resume.
    """
    fixed: list[str] = []
    varied: dict[str, tuple[str, ...]] = {}
    directory = Path("runs") / "sweep"
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for i, word in enumerate(words):
        option = words[i - 1] if i and words[i - 1].startswith("--") else ""
        if word == "--resume":
            raise InputError("--resume: a sweep goes on by itself: give the same command again")
        if option == "--out":
            directory = Path(word)
        elif option and "," in word:
            varied[option] = tuple(value.strip() for value in word.split(","))
            fixed.pop()
        elif word != "--out":
            fixed.append(word)
    if not varied:
        raise InputError("nothing varies: give several values to an option, such as --learning-rate 0.003,0.01")
    if not script.is_file() and str(script) != TRAIN:
        raise InputError(f"there is no script {script}: expected {TRAIN}, train.py, or one with its options")
    if "--threads" not in fixed and "--threads" not in varied:
        fixed += ["--threads", "1"]
    return Plan(script, tuple(fixed), varied), directory


def place(directory: Path, settings: dict[str, str]) -> Path:
    """The run directory of a combination."""
    name = ",".join(f"{option.lstrip('-')}={value}" for option, value in settings.items())
    return directory / "".join(c if c.isalnum() or c in "=,.-_" else "_" for c in name)


def is_done(run: Path) -> bool:
    """Whether a run has taken all its steps."""
    if not checkpoints(run):
        return False
    checkpoint = load_checkpoint(run)
    return checkpoint.step >= int(checkpoint.origin.settings["steps"])


def keep_plan(directory: Path, plan: Plan) -> None:
    """Write the plan beside its runs. Raises InputError if another plan is there."""
    wanted = {"script": str(plan.script), "fixed": list(plan.fixed), "options": list(plan.varied)}
    path = directory / PLAN
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != wanted:
            raise InputError(f"{directory} has another sweep, with other settings: choose a directory with --out")
        return
    directory.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(wanted, indent=1) + "\n").encode())


def sweep(plan: Plan, directory: Path) -> int:
    """Run all combinations that are not done, and print each as it ends, then mean and spread; return an exit code."""
    keep_plan(directory, plan)
    every = list(plan.combinations())
    waiting = [settings for settings in every if not is_done(place(directory, settings))]
    if len(waiting) < len(every):
        print(f"{len(every) - len(waiting)} of {len(every)} runs are done already")
    running: dict[subprocess.Popen[bytes], dict[str, str]] = {}
    failed: list[Path] = []
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                settings = waiting.pop(0)
                running[begun(plan, directory, settings)] = settings
            time.sleep(PAUSE)
            for process in [process for process in running if process.poll() is not None]:
                settings = running.pop(process)
                run = place(directory, settings)
                if process.returncode or not is_done(run):
                    failed.append(run)
                print(told(run, settings, process.returncode), flush=True)
    except KeyboardInterrupt:
        for process in running:  # they have had the same Ctrl-C, and save what they have
            process.wait()
        print("interrupted; the same command goes on")
        raise
    print()
    print(*summary(plan, directory), sep="\n")
    if failed:
        print(f"{len(failed)} of {len(every)} runs failed; see {failed[0]}.txt", file=sys.stderr)
    return 1 if failed else 0


def begun(plan: Plan, directory: Path, settings: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start the process of a combination, or go on with its run."""
    run = place(directory, settings)
    varied = [word for option, value in settings.items() for word in (option, value)]
    arguments = [*plan.fixed, *varied, "--out", str(run)]
    if checkpoints(run):
        code = [
            arguments[i : i + 2] for i, word in enumerate(arguments) if word in ("--model", "--book", "--optimizer")
        ]
        arguments = ["--resume", str(run), *itertools.chain(*code)]
    run.parent.mkdir(parents=True, exist_ok=True)
    with (directory / f"{run.name}.txt").open("ab") as output:
        command, environment = [sys.executable, str(plan.script)], None
        if not plan.script.is_file():
            command, environment = own_command(TRAIN)
        return subprocess.Popen([*command, *arguments], stdout=output, stderr=output, env=environment)


def told(run: Path, settings: dict[str, str], code: int) -> str:
    """What is said of a run that has ended."""
    about = ", ".join(f"{option.lstrip('-')} {value}" for option, value in settings.items())
    if code or not checkpoints(run):
        return f"{about}: failed; see {run.name}.txt beside it"
    return f"{about}: validation loss {best_loss(run):.4f}"


def best_loss(run: Path) -> float:
    """The validation loss of a run, of all held-out text if it was measured."""
    model = load_checkpoint(run).model
    return model.loss if model.loss_on_all is None else model.loss_on_all


def summary(plan: Plan, directory: Path) -> list[str]:
    """Mean and standard deviation of the validation loss, over all seeds, for each combination of the other options."""
    losses: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for settings in plan.combinations():
        run = place(directory, settings)
        if is_done(run):
            key = tuple((option, value) for option, value in settings.items() if option != "--seed")
            losses.setdefault(key, []).append(best_loss(run))
    lines = []
    for key, found in sorted(losses.items(), key=lambda entry: statistics.fmean(entry[1])):
        about = ", ".join(f"{option.lstrip('-')} {value}" for option, value in key) or "all"
        spread = f" +- {statistics.stdev(found):.4f} ({len(found)} runs)" if len(found) > 1 else ""
        lines.append(f"{about}: {statistics.fmean(found):.4f}{spread}")
    return lines
