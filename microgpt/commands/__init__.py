"""The commands, and the parts that they, bench.py and the examples share.

options.py       settings that are command-line options
script.py        exit codes, errors in one line, and Ctrl-C
start.py         where training begins: random parameters, another model, or a checkpoint
listings.py      the output of train.py --listing
own_loss.py      python -m microgpt explain: the loss, the parameters and the data of a file
train.py         the settings of training, and its loop
sample.py        a trained model writes
explain.py       the page of a prediction
learn.py         the workshop
tour.py          the tour in a terminal
answers.py       the answer of a script to --json
session.py       a run while it trains: validation, files, messages, the end
messages.py      the messages of a run
evaluate.py      the loss and the perplexity of a model on a text
sweep.py         runs with all combinations of some settings
own_code.py      training with the user's own functions: are they right, and how much faster?
memory_check.py  whether there is enough memory to train a model
"""

import sys
from importlib.util import find_spec

NEEDED = ("filelock", "llvmlite", "numpy", "safetensors", "tqdm")  # the dependencies of pyproject.toml

if lacking := [name for name in NEEDED if find_spec(name) is None]:
    free = ", after reading docs/platforms.md on free-threaded Python" * ("free-threading" in sys.version)
    print(f"error: not installed: {', '.join(lacking)}: run `pip install -e .`{free}", file=sys.stderr)
    sys.exit(2)
