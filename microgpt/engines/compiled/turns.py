"""What the turns of a step that continues sequences are given. See sequences.py; turns_code.py makes it."""

from ctypes import CFUNCTYPE, POINTER, c_int64
from typing import Any

import numpy as np

from microgpt.engines.compiled.expressions import CONSTANTS
from microgpt.engines.compiled.llvm.arguments import ARGUMENTS, FRAME, ROW, Frame
from microgpt.engines.compiled.llvm.arguments import TABLES as STARTS
from microgpt.engines.trees import address

DOUBLE = np.dtype(np.float64)  # the precision, whatever that of the parameters is
FAILED = -1  # in the place of an item that is none, or whose score is not finite

# What the turns are given beside the frame of a driver. The first ones are pointers to integers, then some to numbers.
# `news` has three integers for each number of the memory that is new after a turn: the output that it is, where it goes
# in the memory at place 0, and how far from there for each place.
TABLES = ("items", "known", "sequence_of", "at", "place_of", "news", "following")
NUMBERS = ("scores", "randoms")
COUNTS = ("turns", "last", "most", "places", "again", "end", "choices", "new", "replaced")
NAMES = (*FRAME, *TABLES, *NUMBERS, *COUNTS)


class TurnsFrame(Frame):
    """The arguments of the turns, by name."""

    __slots__ = ()
    _fields_ = tuple((name, c_int64) for name in NAMES[len(FRAME) :])


class TurnsPlan:
    """How blocks of so many lanes take turns: arrays, and a frame with their addresses.

    Args:
        facts: see `facts_of`: integers and floats alone, so that they can be kept on the disk.
        kernels: the addresses of the step's kernels, and of the code of the turns.
    """

    def __init__(self, facts: dict[str, Any], kernels: list[int]):
        self.lanes, self.cells = facts["lanes"], facts["cells"]
        self.narrow, self.limits = facts["narrow"], facts["limits"]
        self.kernel = CFUNCTYPE(None, POINTER(TurnsFrame))(kernels[-1])
        self.constants = np.array(facts["constants"], DOUBLE)
        self.code, self.arguments, self.tables, self.outputs = (
            np.array(facts[name], np.int64) for name in ("code", "arguments", "tables", "outputs")
        )
        self.news = np.array(facts["news"], np.int64).reshape(-1, 3)
        self.increments = [np.array(one, np.int64) for one in facts["increments"]]
        loops = self.code[:, ROW.index("turns")] > 0
        self.code[~loops, ROW.index("kernel")] = kernels[:-1]
        places = self.code[loops, ROW.index("increments")].tolist()
        self.code[loops, ROW.index("increments")] = [address(self.increments[place]) for place in places]
        replaced = int((self.news[:, 2] == 0).sum())
        self.news *= [1, self.lanes, self.lanes]
        self.frame = TurnsFrame(
            code=address(self.code), rows=len(self.code), outputs=address(self.outputs), news=address(self.news),
            block_size=self.lanes, width=self.lanes, output_count=len(self.outputs), new=len(self.news),
            replaced=replaced, choices=self.limits[0],
            **{CONSTANTS: address(self.constants), STARTS: address(self.tables), ARGUMENTS: address(self.arguments)},
        )  # fmt: skip

    def takes(self, items: np.ndarray, places: int) -> bool:
        """Whether the step can read these items at so many places."""
        return bool(items.min() >= 0 and items.max() < self.limits[0] and places <= self.limits[1])
