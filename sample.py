"""Write new text with a trained model: python sample.py --help"""

from dataclasses import dataclass
from math import inf

from microgpt.checkpoint import load_run, newest_run
from microgpt.command_line import option, parse, require, run_script
from microgpt.sampling import Choice, stream


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


def main() -> int:
    settings = parse(Settings, "Write new text with a model that train.py has trained.")
    check(settings)
    run = load_run(settings.run or newest_run())
    known = set(run.text.split("\n")) if run.text is not None and run.documents == "lines" else set()
    choice = Choice(settings.temperature, settings.top_k)

    new = 0
    for index in range(settings.num_samples):
        text = settings.prompt
        print(text, end="", flush=True)
        for character in stream(run, settings.prompt, settings.seed, index, choice, settings.max_new_tokens):
            text += character
            print(character, end="", flush=True)
        print("  (in the training text)" if text in known else "")
        new += text not in known
        if run.documents == "stream" and index + 1 < settings.num_samples:
            print("-" * 40)
    if known:
        print(f"{new} of {settings.num_samples} are new, not in the text the model was trained on")
    return 0


if __name__ == "__main__":
    run_script(main)
