"""Show every number of a prediction on a page of its own: python explain.py --help

What it does stands in microgpt/commands/explain.py.
"""

from microgpt.commands.explain import main
from microgpt.commands.script import run_script

if __name__ == "__main__":
    run_script(main)
