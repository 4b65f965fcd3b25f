"""A model of one's own as small as can be, which tests train, change and break."""

TINY_MODEL = '''\
"""A recurrent network (Elman 1990).

It remembers a few numbers.
"""

from dataclasses import dataclass

from microgpt.functions import dot, tanh
from microgpt.value import pick


@dataclass(frozen=True)
class Config:
    vocab_size: int
    n_positions: int
    width: int = 3  # numbers that are remembered
    slow: bool = True  # whether half of what was remembered stays

    def __post_init__(self):
        if self.width > 9:
            raise ValueError(f"width is {self.width}: expected at most 9")


def initial_parameters(config, random):
    size, width = config.vocab_size, config.width
    shapes = {"in": (size, width), "back": (width,) * 2, "out": (size, width)}
    return {name: random.normal(0, 0.5, shape) for name, shape in shapes.items()}


def empty_state(config):
    return {"memory": [0.0] * config.width}


def logits(params, config, token, position, state):
    read, kept = pick(params["in"], token), state["memory"]
    new = [tanh(r + dot(kept, row)) for r, row in zip(read, params["back"], strict=True)]
    state["memory"] = [(k + n) * 0.5 if config.slow else n for k, n in zip(kept, new, strict=True)]
    return [dot(state["memory"], row) for row in params["out"]]
'''
FORMAT = """

def hugging_face(config):
    sizes = {"vocab_size": config.vocab_size, "context": config.n_positions, "width": config.width}
    return {"model_type": "elman", **sizes}


def from_hugging_face(found):
    return Config(found["vocab_size"], found["context"], found["width"])
"""
