"""What users expect of any program: pipes, other directories, odd names, quiet progress, and help in time."""

import os
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from running import NAMES, TINY, assert_refused, call, command, environment
from safetensors.numpy import load_file, save_file

import microgpt
from microgpt.learning.bigram import bigram_loss, bigram_probabilities
from microgpt.learning.text import make_corpus
from microgpt.runs.checkpoint import load_checkpoint
from microgpt.runs.directory import load_run
from microgpt.runs.loss_plot import smooth
from microgpt.runs.metrics import read_metrics

pytestmark = pytest.mark.slow

ROOT = Path(microgpt.__file__).parents[1]


@pytest.fixture
def data(tmp_path):
    """A directory with a file of names in it."""
    (tmp_path / "names.txt").write_text(NAMES)
    return tmp_path


# Pipes and directories


def test_a_text_can_come_from_standard_input(tmp_path):
    result = subprocess.run(
        command("train.py", "--data", "-", *TINY),
        cwd=tmp_path,
        env=environment(),
        input=NAMES,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    run = load_run(tmp_path / "runs" / "stdin")
    assert run.text == NAMES
    assert "`standard input`" in (run.directory / "README.md").read_text()
    result = call("train.py", "--resume", "--steps", "3", cwd=tmp_path)  # the text is the copy
    assert result.returncode == 0, result.stderr


def test_a_file_of_that_name_is_a_file(tmp_path):
    (tmp_path / "-").write_text(NAMES)
    again = ["--init-from", "runs/-", "--data", "./-", *TINY]
    for options in (["--data", "./-", *TINY], ["--resume", "--steps", "3"], again):
        result = subprocess.run(
            command("train.py", *options), cwd=tmp_path, env=environment(), input="", capture_output=True,
            encoding="utf-8", check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    assert load_run(tmp_path / "runs" / "-").text == NAMES
    (tmp_path / "-").write_text(NAMES + "more\n")
    assert_refused(call("train.py", "--resume", "runs/-", "--steps", "4", cwd=tmp_path), "./- is not the text")


@pytest.mark.parametrize(("content", "expected"), [(b"", "is empty"), (b"ana\xefs\n", "not UTF-8")])
def test_a_bad_text_from_standard_input_is_refused(tmp_path, content, expected):
    result = subprocess.run(
        command("train.py", "--data", "-", *TINY), cwd=tmp_path, env=environment(), input=content, capture_output=True
    )
    result.stderr = result.stderr.decode()
    assert_refused(result, "standard input", expected)


def test_names_go_through_a_pipe(data):
    call("train.py", "--data", "names.txt", *TINY, cwd=data)
    names = call("sample.py", "--quiet", "--num-samples", "30", cwd=data).stdout
    with subprocess.Popen(
        command("sample.py", "--quiet", "--num-samples", "30"), cwd=data, env=environment(), stdout=subprocess.PIPE
    ) as first:
        ordered = subprocess.run(["sort"], stdin=first.stdout, capture_output=True, encoding="utf-8", check=True)
    assert sorted(ordered.stdout.splitlines()) == sorted(names.splitlines())


@pytest.mark.parametrize("directory", ["with space", "Übung 名前 🦊", "quote' and \"", "-dash"])
def test_any_name_of_a_directory_works(tmp_path, directory):
    there = tmp_path / directory
    there.mkdir()
    (there / "dätä file.txt").write_text(NAMES)
    result = call("train.py", f"--data={there / 'dätä file.txt'}", f"--out={there / 'my run'}", *TINY, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    result = call("sample.py", "--run", there / "my run", "--num-samples", "2", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert call("train.py", f"--resume={there / 'my run'}", "--steps", "3", cwd="/").returncode == 0


def test_everything_works_from_another_directory(tmp_path):
    result = call("train.py", *TINY, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert load_run(tmp_path / "runs" / "names").checkpoint.origin.data == "data/names.txt"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(("script", "closed"), [("sample.py", ">&-"), ("train.py", "2>&-"), ("train.py", "<&-")])
def test_closed_streams_are_no_traceback(data, script, closed):
    call("train.py", "--data", "names.txt", *TINY, cwd=data)
    options = ["--data", "-" if closed == "<&-" else "names.txt", *TINY] if script == "train.py" else []
    line = shlex.join(command(script, *options))
    result = subprocess.run(["sh", "-c", f"{line} {closed}"], cwd=data, capture_output=True, text=True, check=False)
    assert result.returncode == (2 if closed == "<&-" else 0)
    assert "Traceback" not in result.stderr


def test_memory_that_runs_out_underway_is_one_line(tmp_path):
    code = "import numpy; from microgpt.commands.command_line import run_script; run_script(lambda: numpy.ones(2**57))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert_refused(result, "not enough memory: ", code=1)


def test_a_model_whose_numbers_explode_is_one_line(data):
    call("train.py", "--data", "names.txt", *TINY, cwd=data)
    run = data / "runs" / "names"
    shutil.rmtree(run / "checkpoints")
    huge = {name: array.astype(np.float64) * 1e130 for name, array in load_file(run / "model.safetensors").items()}
    save_file(huge, run / "model.safetensors", {"format": "pt"})
    for options in (
        ["sample.py", "--run", run],
        ["explain.py", "--run", run, "--text", "an"],
        ["train.py", "--init-from", run, "--data", "names.txt"],
    ):
        assert_refused(call(*options, cwd=data), "not finite", code=1)


# Terminals


def test_there_is_no_progress_bar_where_there_is_no_terminal(data):
    result = call("train.py", "--data", "names.txt", *TINY, cwd=data)
    assert result.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("script", ["train.py", "sample.py"])
def test_a_terminal_gets_no_colours(data, script):
    import fcntl
    import pty
    import termios

    call("train.py", "--data", "names.txt", *TINY, cwd=data)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    options = ["--data", "names.txt", *TINY] if script == "train.py" else ["--num-samples", "3"]
    with subprocess.Popen(
        command(script, *options),
        cwd=data,
        env=environment() | {"TERM": "xterm-256color", "NO_COLOR": "1"},
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[3" not in shown
    assert b"\x1b[0;3" not in shown
    assert (b"validation=" in shown) == (script == "train.py")


def test_without_a_place_for_compiled_kernels_they_are_compiled_and_that_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    program = "import numpy, microgpt\nprint(microgpt.value_and_grad(lambda p: p * p)(numpy.array(3.0)))"
    environment = os.environ | {"MICROGPT_CACHE": str(tmp_path / "file" / "kernels"), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    assert result.stdout == "(9.0, array(6.))\n", result.stderr
    assert "set MICROGPT_CACHE" in result.stderr


def test_a_kernel_that_was_damaged_on_disk_is_compiled_again(tmp_path):
    program = "import numpy, microgpt\nprint(microgpt.value_and_grad(lambda p: p * p)(numpy.array(3.0)))"
    environment = os.environ | {"MICROGPT_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        assert result.stdout == "(9.0, array(6.))\n"
        kernels = list(tmp_path.iterdir())
        assert kernels
        for kernel in kernels:
            kernel.write_bytes(kernel.read_bytes()[:-40] + b"?" * 40)


# The picture


def test_the_picture_shows_the_losses_and_the_baseline(data):
    call("train.py", "--data", "names.txt", *TINY, cwd=data, pictures=True)
    run = load_run(data / "runs" / "names")
    corpus = make_corpus(NAMES, 16, 0)
    baseline = bigram_loss(bigram_probabilities(corpus.training, len(corpus.vocabulary)), corpus.validation)
    root = ElementTree.parse(run.directory / "loss.svg").getroot()
    text = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert f"{baseline:.3f}" in text
    assert f"{float(read_metrics(run.directory, 2)[-1][2]):.3f}" in text
    for label in ("step", "loss, nats per character", "training", "validation"):
        assert label in text


def test_without_matplotlib_it_is_said_how_to_get_the_picture(data):
    result = call("train.py", "--data", "names.txt", *TINY, cwd=data)
    assert result.returncode == 0, result.stderr
    assert 'pip install -e ".[plot]"' in result.stdout
    assert not (data / "runs" / "names" / "loss.svg").exists()
    assert load_checkpoint(data / "runs" / "names").step == 2


def test_a_running_mean_of_the_same_is_the_same():
    assert smooth((2.0,) * 500) == pytest.approx([2.0] * 500)
    assert smooth((1.0, 3.0)) == [1.0, 3.0]  # few steps are not smoothed


def test_the_bigram_model_counts_pairs():
    probabilities = bigram_probabilities([[0, 1, 1, 0], [0, 1, 0]], 3)
    assert probabilities[0].tolist() == [1 / 5, 3 / 5, 1 / 5]
    assert probabilities[1].tolist() == [3 / 6, 2 / 6, 1 / 6]
    assert probabilities.sum(axis=1) == pytest.approx(1.0)


def test_the_bigram_loss_is_the_mean_surprise_at_each_character():
    from math import log

    probabilities = bigram_probabilities([[0, 1, 1, 0], [0, 1, 0]], 3)
    assert bigram_loss(probabilities, [[0, 1, 0], [0, 0]]) == pytest.approx(-(log(3 / 5) + log(3 / 6) + log(1 / 5)) / 3)
