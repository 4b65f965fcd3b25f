"""python -m microgpt: which version this is, and what to do with it."""

import argparse
import platform
import sys

from microgpt import __version__

DESCRIPTION = """\
A GPT-2 whose every number comes from five scalar operations. The commands are in the project's directory:

  python train.py     train a model on a text file
  python sample.py    write new text with it
  python explain.py   open every number of a prediction, on a page
  python bench.py     measure how fast it is

each with --help. To use it from Python, see docs/library.md: from microgpt import value_and_grad, train, load_run, ...
"""


def main() -> None:
    """Answer --version and --help, and everything else with the help."""
    parser = argparse.ArgumentParser("microgpt", None, DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter)
    version = f"microgpt {__version__} (Python {platform.python_version()} on {sys.platform})"
    parser.add_argument("--version", action="version", version=version)
    parser.parse_args()
    parser.print_help()


if __name__ == "__main__":
    main()
