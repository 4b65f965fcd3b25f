"""Write new text with a trained model: python sample.py --help"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from microgpt.commands.answers import answer, answers
from microgpt.commands.options import COUNT, NUMBER, POSITIVE, Options, option, parse
from microgpt.commands.script import escape_control
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.choosing import Choice
from microgpt.learning.sampling import (
    as_typed,
    new_tokens,
    prompt_tokens,
    samples_in_groups,
    stream,
    worth_compiling,
)
from microgpt.runs.directory import changed_code, load_run, newest_run, repair

MANY = 200  # texts of prose; so many are written together


@dataclass
class Settings(Options):
    run: str | None = option(
        None, "a run directory, or a directory with a GPT-2, also OpenAI's own (default: the newest in runs/)"
    )
    book: str | None = option(None, "the folder of your functions, if the run was trained with them: their code is run")
    model: str | None = option(None, "the file of your model, if the run was trained with it: its code is run")
    trust: bool = option(False, "run the copy of your code in the run directory")
    num_samples: int | None = option(
        None, "number of texts (default: 20, or 1 of a GPT-2 with byte pairs)", must=POSITIVE
    )
    max_new_tokens: int | None = option(
        None, "most characters of a text (default: 500 for prose), or most tokens (default: 100)", must=POSITIVE
    )
    prompt: str = option(
        "", "the beginning of each text; \\n and \\t are a newline and a tab, unless the model knows the backslash"
    )
    temperature: float = option(
        1.0, "below 1 is more careful, above 1 more daring; 0 always takes the likeliest", must=NUMBER
    )
    top_k: int | None = option(None, "draw only from so many of the likeliest characters (default: all)", must=POSITIVE)
    seed: int = option(0, "for random numbers: the same seed writes the same", must=COUNT)
    quiet: bool = option(False, "print only the texts: no marks, no lines between them, no count")
    json: bool = option(False, "print one JSON object with all texts, as those of --format jsonl")
    format: str = option(
        "text",
        "jsonl: an object a line, with the text, its log-probability after the prompt, and whether it is new (not in "
        "the data). The log-probability is natural, at temperature 1, and includes the end of the text",
        ("text", "jsonl"),
    )


@answers
def main() -> int:
    settings = parse(Settings, "Write new text with a model that train.py has trained.")
    run = load_run(settings.run or newest_run(), settings.book, settings.model, settings.trust)
    notes = [*repair(run), *changed_code(run)]
    if run.checkpoint is not None and run.checkpoint.model.step == 0:
        notes.append(f"the model in {run.directory} is untrained, because no step made it better: it writes noise")
    print("".join(f"note: {note}\n" for note in notes), end="", file=sys.stderr)
    lines = run.documents == "lines"
    known = set(run.text.split("\n")) - {""} if run.text is not None and lines else set()
    as_json = settings.json or settings.format == "jsonl"
    quiet = settings.quiet or as_json
    for_people = sys.stdout.isatty() or not quiet  # a text must not steer a terminal
    shown: Callable[[str], str] = escape_control if for_people else str
    marks, between = lines and not quiet, "" if lines or quiet else "-" * 40 + "\n"
    written: list[str] = []
    objects: list[Any] = []  # of --json

    def begin_of(text: str) -> str:
        """Return the beginning of a text as it is printed."""
        return (between if written else "") + shown(text)

    def end_of(text: str, log_probability: float) -> str:
        """Return what is printed when a text is complete: in JSON all of it, else what follows it."""
        written.append(text)
        is_new = None if run.text is None or not (as_json or marks) else text not in (known if lines else run.text)
        if not as_json:
            return "  (in the data)\n" if marks and is_new is False else "\n"
        line = {"text": text, "log_probability": log_probability, "new": is_new}
        if settings.json:
            objects.append(line)
            return ""
        return shown(json.dumps(line, ensure_ascii=False)) + "\n"

    pairs, choice = isinstance(run.vocabulary, BytePairs), Choice(settings.temperature, settings.top_k)
    count = settings.num_samples or (1 if pairs else 20)
    prompt = as_typed(settings.prompt, run.vocabulary)
    tokens = prompt_tokens(run, prompt)  # raises before anything is printed
    length = new_tokens(run, tokens, settings.max_new_tokens)
    if settings.run is None and not known and not quiet:  # because no last line says it
        print(f"writing with the model in {run.directory}", file=sys.stderr)
    compiled = worth_compiling(run.parameters, count * (len(tokens) + length))
    if compiled and (lines or count >= MANY) and not pairs:
        for group in samples_in_groups(run, count, prompt, settings.seed, choice, length):
            texts = [begin_of("" if as_json else text) + end_of(text, p) for text, p in group]
            print("".join(texts), end="", flush=True)
    else:
        for index in range(count):
            text, log_probability = prompt, 0.0
            print(begin_of("" if as_json else prompt), end="", flush=True)
            for part, its_log_probability in stream(run, prompt, settings.seed, index, choice, length, compiled):
                text, log_probability = text + part, log_probability + its_log_probability
                print("" if as_json else shown(part), end="", flush=True)
            print(end_of(text, log_probability), end="", flush=True)
    if known and not quiet:
        new, distinct = sum(text not in known for text in written), len(set(written))
        repeats = "" if distinct == count else f", {distinct} are different"
        if distinct < count and choice.is_certain:
            repeats = ", all the same, since each takes the likeliest character"
        print(f"{new} of {count} are new{repeats}; the model is in {run.directory}")
    if settings.json:
        answer({"run": str(run.directory), "texts": objects})
    return 0
