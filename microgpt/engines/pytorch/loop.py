"""A loop that runs turn by turn: a module that calls the module of a turn, and keeps what each turn has made."""

from typing import Any

import torch


class Loop(torch.nn.Module):
    """Takes the turns of a loop.

    An array is a list of slots, one for each turn, and one more for a state. `read` and `written` are pairs of an array
    and a distance: a turn reads, or writes, the slot so far from its own.
    """

    def __init__(
        self, turn: torch.nn.Module, order: range, read: list[tuple[int, int]], written: list[tuple[int, int]],
        shapes: list[tuple[int, int, tuple[int, ...]]],
    ):  # fmt: skip
        super().__init__()
        self.turn, self.order, self.read, self.written = turn, order, read, written
        self.shapes = shapes  # of each array: the dimension of the turns, the number of slots, the shape of one

    def forward(self, given: Any, whole: Any, each_turn: Any, arrays: Any) -> tuple[torch.Tensor, ...]:
        """The arrays that the turns have written.

        Args:
            given: (p, floats, integers, share), as of any graph. whole: tensors that each turn reads whole.
            each_turn: tensors of which a turn reads its own part, with their dimension of the turns.
            arrays: what they were before the loop, or None.
        """
        share = given[-1]
        parts = [tensor.unbind(dimension) for tensor, dimension in each_turn]
        slots: list[list[Any]] = [
            [None] * count if array is None else list(array.unbind(dimension))
            for array, (dimension, count, _) in zip(arrays, self.shapes, strict=True)
        ]

        def slot(array: int, i: int) -> torch.Tensor:
            if slots[array][i] is None:
                slots[array][i] = share.new_zeros((len(share), *self.shapes[array][2]))
            return slots[array][i].contiguous()

        for turn in self.order:
            own = [part[turn].contiguous() for part in parts]
            read = [slot(array, turn + distance) for array, distance in self.read]
            made = self.turn(*given, *whole, *own, *read)
            for (array, distance), tensor in zip(self.written, made, strict=True):
                slots[array][turn + distance] = tensor
        return tuple(
            torch.stack([slot(array, i) for i in range(count)], dimension)
            for array, (dimension, count, _) in enumerate(self.shapes)
        )


def taken(loop: Loop, *arguments: Any) -> tuple[torch.Tensor, ...]:
    """What a loop makes."""
    return loop(*arguments)
