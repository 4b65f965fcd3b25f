"""Print what microgpt and the quick selection of its tests need, in the "lowest" promised versions or the "newest".

The lower bounds are those of pyproject.toml. What is large is left out; the tests that need it skip themselves.
"""

import re
import sys
import tomllib
from pathlib import Path

LARGE = {"accelerate", "axe-playwright-python", "ipykernel", "nbclient", "playwright", "torch", "transformers"}
project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in project["dependencies"] + project["optional-dependencies"]["test"]:
    if ";" in requirement:
        continue  # a higher bound of another system
    name, lowest = re.fullmatch(r"([\w-]+)[>=]=([\d.]+)", requirement).groups()
    if name not in LARGE:
        print(f"{name}=={lowest}" if sys.argv[1] == "lowest" else name, end=" ")  # Windows ends lines otherwise
