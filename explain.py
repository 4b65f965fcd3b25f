"""Show every number of a prediction on a page of its own: python explain.py --help"""

import shlex
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from microgpt.command_line import option, parse, run_script
from microgpt.errors import InputError
from microgpt.explain.page import beginning_that_fits, explain, shortest, to_html
from microgpt.runs.directory import Run, load_run, newest_run
from microgpt.runs.files import write_file
from microgpt.sampling import sample
from microgpt.text import characters_of, decode, make_corpus

SHORT = 8  # characters of a text that nobody chose


@dataclass
class Settings:
    run: str | None = option(
        None, "a run directory, or a character-level GPT-2 saved by transformers (default: the newest in runs/)"
    )
    text: str | None = option(None, "what to explain (default: a text that was held out from training)")
    out: str | None = option(None, "the HTML file to write (default: explain.html in the run directory)")
    open: bool = option(False, "open the page in the browser")


def main() -> int:
    settings = parse(Settings, "Write a page on which every number of a prediction opens, down to its atoms.")
    if settings.out is not None:
        check_place(Path(settings.out))
    run = load_run(settings.run or newest_run())
    text, what = (settings.text, "") if settings.text is not None else some_text(run)
    explanation = explain(run, text)
    page = to_html(explanation).encode()
    out = Path(settings.out) if settings.out is not None else run.directory / "explain.html"
    try:
        write_file(out, page)
    except OSError as error:
        raise InputError(f"cannot write the page {out}: {error.strerror}; choose another place with --out") from None
    operations = explanation.operations
    print(f"{text!r}{what} took {operations:,} operations; to see each of them, open {out} in a browser")
    if settings.open and not webbrowser.open(out.resolve().as_uri()):
        print(f"no browser could be started here; the page is {shlex.quote(str(out.resolve()))}")
    return 0


def check_place(out: Path) -> None:
    """Raise InputError where no page can be written, before there is one."""
    if out.is_dir():
        raise InputError(f"--out is {out}, a directory: give the name of a file, such as {out / 'explain.html'}")
    if not out.parent.is_dir():
        raise InputError(f"cannot write the page {out}: there is no directory {out.parent}; make it, or give another")


def some_text(run: Run) -> tuple[str, str]:
    """A held-out name of a usual length, or as much of some prose as a page can hold and, in brackets, what it is."""
    checkpoint, lines = run.checkpoint, run.documents == "lines"
    if checkpoint is None or run.text is None:
        room = min(SHORT, run.config.n_positions - lines)
        text, what = sample(run, max_new_tokens=SHORT).strip("\n")[:room], "it wrote that"
        if len(text) < shortest(run):
            text, what = 2 * characters_of(run.vocabulary, run.documents)[-1], "it wrote nothing"
    else:
        seed = checkpoint.origin.settings.get("seed", 0)
        corpus = make_corpus(run.text, run.config.n_positions, seed, run.documents, run.vocabulary)
        texts = [decode(sequence, run.vocabulary) for sequence in corpus.validation]
        if lines:
            names = [text.strip("\n") for text in texts]
            return next((name for name in names if 4 <= len(name) <= SHORT), names[0]), ""
        held_out = texts[0] + "".join(text[1:] for text in texts[1:9])
        line = held_out.partition("\n")[2].lstrip("\n") or held_out
        room = min(SHORT, run.config.n_positions + 1)
        text, what = line[:room], "from the text that was held out"
    if lines:
        return text[:room], ""
    fitting = beginning_that_fits(run, text)
    return fitting, f" ({what}{', as much as a page of this model can hold' if fitting != text else ''})"


if __name__ == "__main__":
    run_script(main)
