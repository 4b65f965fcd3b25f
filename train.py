"""Train a character-level GPT on a text file: python train.py --help

Its settings and its loop, to be read, stand in microgpt/commands/train.py.
"""

from microgpt.commands.script import run_script
from microgpt.commands.train import main

if __name__ == "__main__":
    run_script(main)
