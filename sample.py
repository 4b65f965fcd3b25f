"""Write new text with a trained model: python sample.py --help

What it does stands in microgpt/commands/sample.py.
"""

from microgpt.commands.sample import main
from microgpt.commands.script import run_script

if __name__ == "__main__":
    run_script(main)
