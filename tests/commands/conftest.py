"""Models that the tests of the scripts share. Only a copy may be changed."""

import shutil

import pytest
from running import LONG, NAMES, PROSE, SHORT, TINY, train

from microgpt.runs.directory import load_run


@pytest.fixture
def data(tmp_path):
    """A directory with a file of names in it."""
    (tmp_path / "names.txt").write_text(NAMES)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A directory with a run on names, and what training printed."""
    directory = tmp_path_factory.mktemp("trained")
    return directory, train(directory, *TINY)


@pytest.fixture(scope="session")
def trained_prose(tmp_path_factory):
    """A directory with a run on prose, and what training printed."""
    directory = tmp_path_factory.mktemp("prose")
    return directory, train(directory, *TINY, "--block-size", "8", text=PROSE, file="fox.txt")


@pytest.fixture(scope="session")
def trained_long(tmp_path_factory):
    """A run on a text so long that a part of the held-out text is enough in between; and what training printed."""
    directory = tmp_path_factory.mktemp("long")
    options = ["--n-embd", "8", "--n-head", "2", "--n-layer", "1", "--block-size", "8", "--steps", "20", "--skip-check"]
    result = train(directory, *options, text=LONG, file="long.txt")
    return result, load_run(directory / "runs" / "long")


@pytest.fixture(scope="session")
def short(tmp_path_factory):
    """A directory with a run on names so short that some of those it writes are in the data."""
    directory = tmp_path_factory.mktemp("short")
    options = ["--n-embd", "4", "--n-head", "2", "--steps", "30", "--batch-size", "3", "--engine", "scalar"]
    train(directory, *options, "--warmup", "2", text="\n".join(SHORT))
    return directory


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the run on names, to be changed."""
    return shutil.copytree(trained[0] / "runs" / "names", tmp_path / "copy")
