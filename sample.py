"""Write new text with a trained model: python sample.py --help"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from microgpt.command_line import option, parse, require, run_script
from microgpt.errors import InputError
from microgpt.runs.checkpoint import load_checkpoint
from microgpt.runs.directory import Run, load_run, newest_run
from microgpt.runs.files import InUseError, lock
from microgpt.runs.hugging_face import restore_model, wrong_files
from microgpt.sampling import Choice, new_tokens, prompt_tokens, sample_many, stream, worth_compiling

MANY = 200  # from so many names on they are written many at once


@dataclass
class Settings:
    run: str | None = option(
        None, "a run directory, or a character-level GPT-2 saved by transformers (default: the newest in runs/)"
    )
    num_samples: int = option(20, "how many to write")
    max_new_tokens: int | None = option(None, "characters to write at most (default: for prose 500)")
    prompt: str = option("", "how each of them begins")
    temperature: float = option(1.0, "below 1 more careful, above 1 more daring; 0 always takes the likeliest")
    top_k: int | None = option(None, "choose among so many of the likeliest characters only (default: among all)")
    seed: int = option(0, "of the random choices: the same seed writes the same")
    quiet: bool = option(False, "print the texts alone: no marks, no lines between them, no count")
    format: str = option(
        "text",
        "jsonl: an object a line with the text, the natural log-probability of what follows the prompt (the model's "
        "own, at temperature 1; the closing newline of a name included), and whether it is new, not in the data",
        ("text", "jsonl"),
    )


def check(settings: Settings) -> None:
    require("num_samples", settings.num_samples, settings.num_samples >= 1, "a positive integer")
    for name in ("max_new_tokens", "top_k"):
        value = getattr(settings, name)
        require(name, value, value is None or value >= 1, "a positive integer")
    require("temperature", settings.temperature, 0 <= settings.temperature < inf, "0 or a positive number")
    require("seed", settings.seed, settings.seed >= 0, "0 or a positive integer")


def main() -> int:
    settings = parse(Settings, "Write new text with a model that train.py has trained.")
    check(settings)
    run = load_run(settings.run or newest_run())
    for note in restore(run):
        print(f"note: {note}", file=sys.stderr)
    lines = run.documents == "lines"
    known = set(run.text.split("\n")) - {""} if run.text is not None and lines else set()
    as_json, quiet = settings.format == "jsonl", settings.quiet or settings.format == "jsonl"
    choice = Choice(settings.temperature, settings.top_k)

    tokens = prompt_tokens(run, settings.prompt)  # finds what is wrong with it before anything is printed
    length = new_tokens(run, tokens, settings.max_new_tokens)
    compiled = worth_compiling(run.config, settings.num_samples * (len(tokens) + length))
    options = (settings.prompt, settings.seed)
    written = (
        [[pair] for pair in sample_many(run, settings.num_samples, *options, choice, length)]
        if lines and settings.num_samples >= MANY
        else (one(run, *options, i, choice, length, compiled) for i in range(settings.num_samples))
    )
    new = 0
    for index, parts in enumerate(written):
        text, log_probability = "", 0.0
        if index and not lines and not quiet:
            print("-" * 40)
        for part, its_log_probability in parts:
            text, log_probability = text + part, log_probability + its_log_probability
            if not as_json:
                print(part, end="", flush=True)
        is_new = None if run.text is None else text not in (known if lines else run.text)
        if as_json:
            line = {"text": text, "log_probability": log_probability, "new": is_new}
            print(json.dumps(line, ensure_ascii=False), flush=True)
        else:
            print("  (in the data)" if lines and is_new is False and not quiet else "", flush=True)
        new += bool(is_new)
    if known and not quiet:
        print(f"{new} of {settings.num_samples} are new, not in the text that the model learned from")
    return 0


def one(run: Run, prompt: str, *options: Any) -> Iterator[tuple[str, float]]:
    """The prompt, and what follows it, with log-probabilities."""
    yield prompt, 0.0
    yield from stream(run, prompt, *options)


def restore(run: Run) -> list[str]:
    """Mend the model files of a run that nobody is writing to; return a line for everything one should know."""
    if run.checkpoint is None or not wrong_files(run.directory, run.checkpoint):
        return []
    try:
        held = lock(run.directory)
    except InUseError:  # it is being trained, and just now written
        return []
    except InputError as error:
        return [f"{', '.join(wrong_files(run.directory, run.checkpoint))} should be made again, but {error}"]
    try:
        newest = load_checkpoint(run.directory)  # the run may have gone on before we had the lock
        return restore_model(run.directory, newest)
    finally:
        if held:
            held.release()


if __name__ == "__main__":
    run_script(main)
