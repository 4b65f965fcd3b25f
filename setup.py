"""What pyproject.toml cannot say: a wheel takes files along that stand beside the package in a clone."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
ALONG = ("data/*.*", "docs/tour.md", "docs/*.ipynb", "examples/optimizers/*.py")


class BuildWithFiles(build_py):
    """Copies these files into the package, where microgpt/surroundings.py finds them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for pattern in ALONG:
            for file in sorted(ROOT.glob(pattern)):
                place = Path(self.build_lib, "microgpt", "along", file.relative_to(ROOT))
                place.parent.mkdir(parents=True, exist_ok=True)
                copyfile(file, place)


setup(cmdclass={"build_py": BuildWithFiles})
