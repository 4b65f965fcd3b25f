"""Write new text with a trained model: python sample.py --help"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from microgpt.commands import messages
from microgpt.commands.options import COUNT, NUMBER, POSITIVE, Options, option, parse
from microgpt.commands.script import escape_control, run_script
from microgpt.learning.choosing import Choice
from microgpt.learning.sampling import (
    as_typed,
    new_tokens,
    prompt_tokens,
    samples_in_turn,
    stream,
    worth_compiling,
)
from microgpt.runs.directory import Run, load_run, newest_run, repair

MANY = 200  # names; so many are written together


@dataclass
class Settings(Options):
    run: str | None = option(
        None, "a run directory, or a character-level GPT-2 saved by transformers (default: the newest in runs/)"
    )
    book: str | None = option(None, "the folder of your functions, if the run was trained with them: their code is run")
    num_samples: int = option(20, "number of texts", must=POSITIVE)
    max_new_tokens: int | None = option(None, "most characters of a text (default: 500 for prose)", must=POSITIVE)
    prompt: str = option(
        "", "the beginning of each text; \\n and \\t are a newline and a tab, unless the model knows the backslash"
    )
    temperature: float = option(
        1.0, "below 1 is more careful, above 1 more daring; 0 always takes the likeliest", must=NUMBER
    )
    top_k: int | None = option(None, "draw only from so many of the likeliest characters (default: all)", must=POSITIVE)
    seed: int = option(0, "for random numbers: the same seed writes the same", must=COUNT)
    quiet: bool = option(False, "print only the texts: no marks, no lines between them, no count")
    format: str = option(
        "text",
        "jsonl: an object a line, with the text, its log-probability after the prompt, and whether it is new (not in "
        "the data). The log-probability is natural, at temperature 1, and includes the end of the text",
        ("text", "jsonl"),
    )


def main() -> int:
    settings = parse(Settings, "Write new text with a model that train.py has trained.")
    run = load_run(settings.run or newest_run(), settings.book)
    for note in [*repair(run), *messages.of_untrained(run)]:
        print(f"note: {note}", file=sys.stderr)
    lines = run.documents == "lines"
    known = set(run.text.split("\n")) - {""} if run.text is not None and lines else set()
    as_json, quiet = settings.format == "jsonl", settings.quiet or settings.format == "jsonl"
    for_people = sys.stdout.isatty() or not quiet  # a text must not steer a terminal

    new, different = 0, set()
    for index, parts in enumerate(texts(run, settings)):
        text, log_probability = "", 0.0
        if not index and settings.run is None and not known and not quiet:  # because no last line says it
            print(f"writing with the model in {run.directory}", file=sys.stderr)
        if index and not lines and not quiet:
            print("-" * 40)
        for part, its_log_probability in parts:
            text, log_probability = text + part, log_probability + its_log_probability
            if not as_json:
                print(escape_control(part) if for_people else part, end="", flush=True)
        is_new = None if run.text is None else text not in (known if lines else run.text)
        if as_json:
            line = {"text": text, "log_probability": log_probability, "new": is_new}
            written = json.dumps(line, ensure_ascii=False)
            print(escape_control(written) if for_people else written, flush=True)
        else:
            print("  (in the data)" if lines and is_new is False and not quiet else "", flush=True)
        new += bool(is_new)
        different.add(text)
    if known and not quiet:
        count, distinct = settings.num_samples, len(different)
        repeats = "" if distinct == count else f", {distinct} are different"
        if distinct < count and Choice(settings.temperature, settings.top_k).is_certain:
            repeats = ", all the same, since each takes the likeliest character"
        print(f"{new} of {count} are new{repeats}; the model is in {run.directory}")
    return 0


def texts(run: Run, settings: Settings) -> Iterator[Iterator[tuple[str, float]]]:
    """Yield each text as its parts with their log-probabilities, while it is written; the prompt is the first part."""
    count, choice = settings.num_samples, Choice(settings.temperature, settings.top_k)
    prompt = as_typed(settings.prompt, run.vocabulary)
    tokens = prompt_tokens(run, prompt)  # raises before anything is printed
    length = new_tokens(run, tokens, settings.max_new_tokens)
    if run.documents == "lines" and count >= MANY:
        yield from (iter([pair]) for pair in samples_in_turn(run, count, prompt, settings.seed, choice, length))
        return
    compiled = worth_compiling(run.config, count * (len(tokens) + length))
    for index in range(count):
        yield one(run, prompt, settings.seed, index, choice, length, compiled)


def one(run: Run, prompt: str, *options: object) -> Iterator[tuple[str, float]]:
    """Yield the prompt and its continuation."""
    yield prompt, 0.0
    yield from stream(run, prompt, *options)


if __name__ == "__main__":
    run_script(main)
