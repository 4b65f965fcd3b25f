"""Where the package runs: in a clone or installed, called by which command, in a terminal or in a notebook."""

import os
import re
import sys
import warnings
from html import escape
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
ALONG = PACKAGE / "along"  # which a wheel has, and no clone: see setup.py
EXTRA = re.compile(r'pip install -e "\.(\[\w+\])"')
CALLED = re.compile(r"(python -m microgpt|[\w-]+) \w+")  # what __main__.py makes of the first argument
SCRIPT = re.compile(r"\bpython (train|sample|explain|learn)\.py\b")


def along(path: str) -> Path:
    """Return the place of a file that comes along: in a clone beside the package, in a wheel within it."""
    return (ALONG if ALONG.is_dir() else PACKAGE.parent) / path


def program() -> str:
    """Return how the commands are called here: "microgpt", "python -m microgpt", or "" for the scripts of a clone."""
    found = CALLED.fullmatch(sys.argv[0])
    return found[1] if found is not None else "microgpt" if ALONG.is_dir() else ""


def as_called(text: str) -> str:
    """Return a text with its commands as one calls them here: `python train.py` may be `microgpt train`."""
    name = program()
    if ALONG.is_dir() and EXTRA.search(text):
        from importlib.metadata import packages_distributions  # only here, because it takes a while

        distribution = packages_distributions()["microgpt"][0]
        text = EXTRA.sub(rf'pip install "{distribution}\1"', text)
    return SCRIPT.sub(rf"{name} \1", text) if name else text


def own_command(name: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line, and the environment, by which another process runs a command of this very package."""
    inherited = os.environ.get("PYTHONPATH")
    places = os.pathsep.join([str(PACKAGE.parent), *([inherited] if inherited else [])])
    return [sys.executable, "-P", "-m", "microgpt", name], {**os.environ, "PYTHONPATH": places}


def in_notebook() -> bool:
    """Return whether a notebook shows what is printed."""
    known = sys.modules.get("IPython")
    shell = known.get_ipython() if known is not None else None
    return shell is not None and "IPKernelApp" in shell.config


def facts_as_html(facts: dict[str, str]) -> str:
    """Return facts as a small table for a notebook."""
    row = '<tr><th style="text-align: left">{}</th><td style="text-align: left">{}</td></tr>'
    return f"<table>{''.join(row.format(escape(name), escape(fact)) for name, fact in facts.items())}</table>"


def notebook_bar(**options: Any) -> Any:
    """Return a progress bar of tqdm as a notebook draws it; elsewhere a bar that is not shown."""
    if not in_notebook():
        from tqdm import tqdm  # only here, because a command that writes does without

        return tqdm(**options, disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets the bar is a line of text
        from tqdm.auto import tqdm as of_notebook
    return of_notebook(**options)
