"""The model of docs/models.md, made tiny: tests train, change and break it."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
TINY_MODEL = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0].replace("int = 32", "int = 3")
REFUSES = """
    def __post_init__(self):
        if self.width > 9:
            raise ValueError(f"width is {self.width}: expected at most 9")
"""
FORMAT = """

def hugging_face(config):
    sizes = {"vocab_size": config.vocab_size, "context": config.n_positions, "width": config.width}
    return {"model_type": "elman", **sizes}


def from_hugging_face(found):
    return Config(found["vocab_size"], found["context"], found["width"])
"""
