"""Write the book yourself, function by function: python learn.py --help

What it does stands in microgpt/commands/learn.py.
"""

from microgpt.commands.learn import main
from microgpt.commands.script import run_script

if __name__ == "__main__":
    run_script(main)
