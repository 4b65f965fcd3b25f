"""Show every number of a prediction on a page of its own: python explain.py --help"""

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microgpt.commands.options import Options, option, parse
from microgpt.errors import InputError
from microgpt.explain.any_program import page_of
from microgpt.explain.default_text import some_text
from microgpt.explain.explanation import LARGEST_PROGRAM, explain, loss_of, tokens_of
from microgpt.explain.page import to_html
from microgpt.explain.stages import stages_page, text_for
from microgpt.learning.byte_pairs import BytePairs
from microgpt.learning.sampling import as_typed
from microgpt.runs.directory import changed_code, load_run, newest_run
from microgpt.runs.files import check_place, write_file


@dataclass
class Settings(Options):
    run: str | None = option(
        None, "a run directory, or a directory with a GPT-2, also OpenAI's own (default: the newest in runs/)"
    )
    book: str | None = option(None, "the folder of your functions, if the run was trained with them: their code is run")
    model: str | None = option(None, "the file of your model, if the run was trained with it: its code is run")
    trust: bool = option(False, "run the copy of your code in the run directory")
    text: str | None = option(None, "the text to explain (default: a held-out text)")
    out: str | None = option(None, "the HTML file to write (default: explain.html in the run directory)")
    open: bool = option(False, "open the page in the browser")


def main() -> int:
    settings = parse(Settings, "Write a page on which every number of a prediction opens, down to its atoms.")
    if settings.out is not None:
        check_place("out", settings.out, "explain.html")
    run = load_run(settings.run or newest_run(), settings.book, settings.model, settings.trust)
    print("".join(f"note: {note}\n" for note in changed_code(run)), end="", file=sys.stderr)
    pairs = isinstance(run.vocabulary, BytePairs)
    text, what = (as_typed(settings.text, run.vocabulary) if settings.text is not None else ""), ""
    if settings.text is None:
        text, what = (text_for(run), "") if pairs else some_text(run)
    out = run.directory / "explain.html" if settings.out is None else Path(settings.out)
    stages = pairs and run.architecture.is_the_book
    if stages:
        html, operations = stages_page(run, text)
        page = html.encode()
    elif run.architecture.is_the_book:
        explanation = explain(run, text)
        page, operations = to_html(explanation).encode(), explanation.operations
    else:
        tokens = tokens_of(run, text)
        loss, weights = loss_of(run, tokens)
        title = f"{text!r} in the model of {run.directory}"
        html, found, _ = page_of(loss, run.parameters, (np.array([tokens]), np.array([weights])), title=title)
        page, operations = html.encode(), found.operations
    try:
        if settings.out is None:
            write_file(out, page)
        else:
            out.write_bytes(page)
    except OSError as error:
        raise InputError(f"cannot write the page {out}: {error.strerror}; choose another with --out") from None
    is_page = out.is_file()  # not a pipe or device
    about = "about " if stages else ""
    print(f"{text!r}{what} takes {about}{operations:,} operations in the model of {run.directory}")
    if stages:
        why = "its tokens are parts of words, which the page of single numbers does not know"
        if operations > LARGEST_PROGRAM:
            why = f"a page can open {LARGEST_PROGRAM:,} one by one"
        print(f"{why}: this one shows what each stage knew, where each head looks, and the chances")
    print(f"open {out} in a browser" if is_page else f"the page went to {out}")
    if is_page and settings.open and not webbrowser.open(out.resolve().as_uri()):
        print(f"no browser could be started here; the page is {out.resolve()}")
    return 0
