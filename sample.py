"""Write new text with a trained model: python sample.py --help"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from microgpt.checkpoint import Run, load_run, newest_run
from microgpt.command_line import option, parse, require, run_script
from microgpt.sampling import Choice, prompt_tokens, sample_many, stream

MANY = 200  # from so many on, it pays to compile and to write all of them at once


@dataclass
class Settings:
    run: str | None = option(None, "the run directory of the model (default: the newest one in runs/)")
    num_samples: int = option(20, "how many to write")
    max_new_tokens: int | None = option(None, "characters to write at most (default: for prose 500)")
    prompt: str = option("", "how each of them begins")
    temperature: float = option(1.0, "below 1 more careful, above 1 more daring; 0 always takes the likeliest")
    top_k: int | None = option(None, "choose among so many of the likeliest characters only (default: among all)")
    seed: int = option(0, "of the random choices: the same seed writes the same")


def check(settings: Settings) -> None:
    require("num_samples", settings.num_samples, settings.num_samples >= 1, "a positive integer")
    for name in ("max_new_tokens", "top_k"):
        value = getattr(settings, name)
        require(name, value, value is None or value >= 1, "a positive integer")
    require("temperature", settings.temperature, 0 <= settings.temperature < inf, "0 or a positive number")
    require("seed", settings.seed, settings.seed >= 0, "0 or a positive integer")


def one(run: Run, prompt: str, *options: Any) -> Iterator[str]:
    yield prompt
    yield from stream(run, prompt, *options)


def main() -> int:
    settings = parse(Settings, "Write new text with a model that train.py has trained.")
    check(settings)
    run = load_run(settings.run or newest_run())
    known = set(run.text.split("\n")) if run.text is not None and run.documents == "lines" else set()
    choice = Choice(settings.temperature, settings.top_k)

    new = 0
    options = (settings.prompt, settings.seed)
    prompt_tokens(run, settings.prompt)  # finds what is wrong with it before anything is printed
    many = settings.num_samples >= MANY
    texts = sample_many(run, settings.num_samples, *options, choice, settings.max_new_tokens) if many else []
    for index in range(settings.num_samples):
        text = ""
        for part in [texts[index]] if many else one(run, *options, index, choice, settings.max_new_tokens):
            text += part
            print(part, end="", flush=True)
        print("  (in the training text)" if text in known else "")
        new += text not in known
        if run.documents == "stream" and index + 1 < settings.num_samples:
            print("-" * 40)
    if known:
        print(f"{new} of {settings.num_samples} are new, not in the text the model was trained on")
    return 0


if __name__ == "__main__":
    run_script(main)
