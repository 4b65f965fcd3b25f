"""A run that was stopped and resumed is the run that was never stopped, and can be no other one."""

import json
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from filelock import FileLock
from running import LONG, NAMES, PROSE, assert_refused, call, command, environment, interrupted
from safetensors.numpy import load_file, save_file

from microgpt.commands import start
from microgpt.learning.batches import batches
from microgpt.learning.text import END
from microgpt.runs.checkpoint import load_checkpoint, save_checkpoint
from microgpt.runs.directory import load_run
from microgpt.runs.metrics import read_metrics, read_tensors

pytestmark = pytest.mark.slow

OPTIONS = ["--data", "names.txt", "--n-embd", "4", "--n-head", "2", "--batch-size", "3", "--skip-check"]
SCALAR = [*OPTIONS, "--engine", "scalar", "--batch-size", "2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A directory with a file of names in it. Runs get names of their own."""
    directory = tmp_path_factory.mktemp("data")
    (directory / "names.txt").write_text(NAMES)
    return directory


def finished(data, name, *options):
    result = call("train.py", *options, "--out", name, cwd=data)
    assert result.returncode == 0, result.stderr
    return result


def stopped(data, name, *options, after, number=signal.SIGINT):
    """Begin a run or go on with it, and stop it with a signal in a step: it stops after those taken with this one."""
    how = ["--resume", name] if (data / name).exists() else ["--out", name]
    result = interrupted(*options, *how, cwd=data, after=after, number=number)
    assert (result.returncode, result.stderr) == (130, "")
    assert result.stdout.splitlines()[-1] == f"to go on: python train.py --resume {name}"
    assert load_checkpoint(data / name).step >= after


def resumed(data, name, *options):
    result = call("train.py", "--resume", name, *options, cwd=data)
    assert result.returncode == 0, result.stderr
    return result.stdout


def assert_same_run(data, first, second):
    """The same bits in the weights, in all that the optimizer remembers, and in the metrics but for the seconds."""
    a, b = (load_checkpoint(data / name) for name in (first, second))
    assert a.step == b.step
    for vector in ("parameters", "adam_m", "adam_v"):
        assert getattr(a, vector).tobytes() == getattr(b, vector).tobytes()
    assert (a.best.step, a.best.loss) == (b.best.step, b.best.loss)
    assert a.best.parameters.tobytes() == b.best.parameters.tobytes()
    ours, theirs = (read_metrics(data / name, a.step) for name in (first, second))
    assert [row[:-1] for row in ours] == [row[:-1] for row in theirs]
    assert read_tensors(data / first, a.step) == read_tensors(data / second, b.step) != []
    seconds = [float(row[-1]) for row in theirs]
    assert seconds == sorted(seconds)
    models = [load_file(data / name / "model.safetensors") for name in (first, second)]
    assert all(models[0][name].tobytes() == models[1][name].tobytes() for name in models[0])


# As if nothing had happened


@pytest.mark.parametrize(("engine", "threads"), [("compiled", ["--threads", "2"]), ("scalar", [])])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_resumed_is_the_same(data, engine, threads, number):
    options = [*OPTIONS, "--engine", engine, "--steps", 24, "--eval-interval", 5]
    whole, name = f"whole-{engine}", f"stopped-{engine}-{number.name}"
    if not (data / whole).exists():
        finished(data, whole, *options)
    stopped(data, name, *options, after=8, number=number)
    assert f"resuming {name} after step 8 of 24" in resumed(data, name, *threads)
    assert_same_run(data, whole, name)


def test_a_killed_run_resumed_is_the_same(data):
    options = [*OPTIONS, "--steps", 300, "--eval-interval", 70]
    finished(data, "whole", *options)
    with subprocess.Popen(command("train.py", *options, "--out", "killed"), cwd=data, env=environment()) as process:
        metrics = data / "killed" / "metrics.csv"
        while not metrics.exists() or metrics.read_bytes().count(b"\n") < 100:
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
    assert load_checkpoint(data / "killed").step < 300
    resumed(data, "killed")
    assert_same_run(data, "whole", "killed")


def test_a_run_stopped_often_is_the_same(data):
    options = [*SCALAR, "--steps", "20", "--eval-interval", "6", "--seed", "5"]
    finished(data, "often-whole", *options)
    stopped(data, "often", *options, after=3)
    for after in (4, 9, 13):
        stopped(data, "often", after=after)
    resumed(data, "often")
    assert_same_run(data, "often-whole", "often")


@pytest.mark.parametrize("pool_size", [1, 2, 3])
def test_batches_go_on_where_they_stopped(pool_size, monkeypatch):
    monkeypatch.setattr("microgpt.learning.batches.POOL", pool_size)
    sequences = [[0, i, 0] for i in range(1, 12)]
    whole = batches(sequences, 3, 7)
    drawn = [next(whole) for _ in range(20)]
    for before in range(19):
        tokens, weights = next(batches(sequences, 3, 7, drawn_before=before))
        assert (tokens == drawn[before][0]).all()
        assert (weights == drawn[before][1]).all()


def test_prose_stopped_and_resumed_is_the_same(data):
    (data / "long.txt").write_text(LONG)
    shape = ["--n-embd", "4", "--n-head", "2", "--n-layer", "1", "--block-size", "8", "--batch-size", "3"]
    options = ["--data", "long.txt", *shape, "--skip-check", "--steps", "30", "--eval-interval", "20"]
    finished(data, "long-whole", *options)
    stopped(data, "long", *options, after=10)
    assert load_checkpoint(data / "long").best.loss_on_all is None
    resumed(data, "long")
    assert_same_run(data, "long-whole", "long")
    whole, again = (load_checkpoint(data / name).best.loss_on_all for name in ("long-whole", "long"))
    assert whole == again is not None


def test_a_stop_between_looks_keeps_the_better(data):
    stopped(data, "between", *SCALAR, "--steps", 400, "--eval-interval", 400, "--learning-rate", 0.02, after=60)
    checkpoint = load_checkpoint(data / "between")
    assert checkpoint.best.step == 0
    assert checkpoint.model.step == checkpoint.step
    assert checkpoint.model.loss < checkpoint.best.loss
    assert read_metrics(data / "between", checkpoint.step)[-1][2] == ""  # as in a run that was not stopped


def test_without_a_name_the_newest_is_resumed(tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    stopped(tmp_path, "runs/one", *SCALAR, "--steps", "400", after=3)
    result = call("train.py", "--resume", "--steps", "6", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "trained 6 steps" in result.stdout


# More than was planned


@pytest.fixture(scope="module")
def done(data):
    """A run that has done all of its ten steps. Not to be changed."""
    finished(data, "done", *SCALAR, "--steps", "10", "--warmup", "4")
    return data / "done"


@pytest.fixture
def copy(done, tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    return shutil.copytree(done, tmp_path / "copy")


def test_more_steps_tell_their_schedule(copy):
    out = resumed(copy.parent, copy, "--steps", "20")
    assert "resuming" in out
    rates = [float(row[3]) for row in read_metrics(copy, 20)[1:]]
    assert "changed: --steps 10 -> 20\nlearning rate: " in out
    assert f"{rates[10]:.2g} at step 11, {rates[19]:.2g} at step 20" in out
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10] > rates[9]


def test_a_run_that_does_not_begin_is_free_again(copy, monkeypatch):
    held, resume_run = [], start.resume_run

    def keeping(directory):  # so that no garbage collector releases the lock
        held.append(resume_run(directory))
        return held[-1]

    monkeypatch.setattr(start, "resume_run", keeping)
    call("train.py", "--resume", copy, cwd=copy)
    call("train.py", "--resume", copy, "--n-embd", "8", cwd=copy)
    assert [lock.is_locked for *_, lock in held] == [False, False]


def test_a_complete_run_tells_how_to_continue(copy):
    result = call("train.py", "--resume", copy, cwd=copy)
    assert result.returncode == 0  # so `until python train.py --resume; do :; done` ends
    assert "is complete: all of its 10 steps are done" in result.stdout
    assert "--steps 20" in result.stdout
    assert_refused(call("train.py", "--resume", copy, "--steps", 5, cwd=copy), "already done 10", "--steps 20")


def test_the_help_names_what_may_change(copy):
    changes = {"--steps": 12, "--learning-rate": 0.5, "--warmup": 2, "--weight-decay": 0.1, "--grad-clip": 3.0}
    options = [text for pair in changes.items() for text in map(str, pair)]
    out = resumed(copy.parent, copy, *options, "--eval-interval", 1, "--engine", "compiled")
    settings = load_run(copy).checkpoint.origin.settings
    text = " ".join(call("train.py", "--help", cwd=copy).stdout.split())
    for flag, value in (changes | {"--eval-interval": 1, "--engine": "compiled"}).items():
        assert settings[flag[2:].replace("-", "_")] == value
        assert flag in out
        assert f" {flag}," in text or f" {flag} " in text


# What is no resuming


def test_another_model_or_order_is_refused(copy):
    for option, value, before in (
        ("--n-embd", "8", "4"),
        ("--n-layer", "2", "1"),
        ("--n-head", "1", "2"),
        ("--block-size", "12", "16"),
        ("--batch-size", "4", "2"),
        ("--seed", "1", "0"),
        ("--documents", "stream", "auto"),
        ("--init-from", "done", "None"),
    ):
        result = call("train.py", "--resume", copy, "--steps", "20", option, value, cwd=copy)
        assert_refused(result, f"{option} is {value}, but {copy} was begun with {before}")


def test_given_settings_are_compared_with_the_run(copy):
    options = ["--steps", "11", "--n-head", "2", "--n-embd", "4"]
    assert call("train.py", "--resume", copy, *options, cwd=copy.parent).returncode == 0
    result = call("train.py", "--resume", copy, "--steps", "12", "--n-head", "3", cwd=copy.parent)
    assert_refused(result, "--n-head is 3, but", "begun with 2")


@pytest.mark.parametrize(("pool_size", "code"), [(2, 0), (5, 2)])
def test_a_run_with_a_pool_size_goes_on(copy, pool_size, code):
    saved = load_checkpoint(copy)
    saved.origin.settings["pool_size"] = pool_size
    save_checkpoint(copy, saved)
    result = call("train.py", "--resume", copy, "--steps", "12", cwd=copy.parent)
    assert result.returncode == code, result.stderr


def test_a_changed_model_is_begun_from_by_name(copy):
    save_file(load_file(copy / "model.safetensors"), copy / "model.safetensors", {"format": "pt"})
    options = ["--data", "names.txt", "--engine", "scalar", "--steps", "1"]
    result = call("train.py", "--init-from", copy, *options, cwd=copy.parent)
    assert_refused(result, "was changed by another program", f"--init-from {copy / 'model.safetensors'}")
    result = call("train.py", "--init-from", copy / "model.safetensors", *options, cwd=copy.parent)
    assert result.returncode == 0, result.stderr


def test_a_run_without_its_metrics_goes_on(copy):
    (copy / "metrics.csv").unlink()
    result = interrupted("--resume", copy, "--steps", "99", cwd=copy.parent, after=12)
    assert (result.returncode, result.stderr) == (130, "")
    assert load_checkpoint(copy).step == 12


def test_the_same_values_may_be_repeated(copy):
    resumed(copy.parent, copy, *SCALAR, "--steps", "11")


@pytest.mark.parametrize("given", [True, False])
def test_other_data_is_refused_with_the_difference(copy, given):
    (copy.parent / "names.txt").write_text(NAMES.replace("b", "ñ"))
    option = ["--data", "names.txt"] if given else []
    result = call("train.py", "--resume", copy, "--steps", "20", *option, cwd=copy.parent)
    assert_refused(result, "names.txt is not the text", "SHA-256", "'ñ'", "lacks the characters 'b'", "copy/text.txt")
    assert load_checkpoint(copy).step == 10


def test_missing_data_is_replaced_by_the_copy(copy):
    (copy.parent / "names.txt").unlink()
    assert call("train.py", "--resume", copy, "--steps", "11", cwd=copy.parent).returncode == 0
    (copy / "text.txt").unlink()
    assert_refused(call("train.py", "--resume", copy, "--steps", "12", cwd=copy.parent), "names.txt", "--data")


# Large texts


@pytest.fixture
def large(monkeypatch):
    """Texts are large."""
    monkeypatch.setattr(start, "LARGEST_TEXT_COPY", 10)


@pytest.mark.parametrize(("text", "kind"), [(NAMES, "lines"), (PROSE.replace("q", "ñ語"), "stream")])
def test_a_large_text_is_kept_as_integers(tmp_path, monkeypatch, text, kind):
    (tmp_path / "names.txt").write_text(text, encoding="utf-8")
    options = [*OPTIONS, "--documents", kind, "--block-size", "9", "--steps", "6"]
    finished(tmp_path, "whole", *options)
    monkeypatch.setattr(start, "LARGEST_TEXT_COPY", 10)
    stopped(tmp_path, "large", *options, after=4)
    assert not (tmp_path / "large" / "text.txt").exists()
    monkeypatch.setattr(start, "encoded", None)  # it is not encoded again
    shutil.copytree(tmp_path / "large", tmp_path / "without")
    resumed(tmp_path, "large")
    (tmp_path / "names.txt").unlink()
    resumed(tmp_path, "without")
    assert_same_run(tmp_path, "whole", "large")
    assert_same_run(tmp_path, "whole", "without")


def test_damaged_integers_of_a_text_are_refused(data, large):
    stopped(data, "damaged", *OPTIONS, "--steps", "6", after=2)
    path = data / "damaged" / "text.bin"
    content = path.read_bytes()
    for damaged in (b"", content[:-1], b"\x09" * len(content), bytes([content[1], *content[1:]])[::-1]):
        path.write_bytes(damaged)
        result = call("train.py", "--resume", "damaged", cwd=data)
        assert_refused(result, "text.bin", "is not the text of this run: delete it")
    path.unlink()
    resumed(data, "damaged")
    assert path.read_bytes() == content


def test_without_a_checkpoint_no_large_text_is_left(data, large, monkeypatch):
    assert_refused(
        call("train.py", *OPTIONS, "--out", "no", "--block-size", "64", "--documents", "stream", cwd=data), "tenth"
    )
    assert not (data / "no").exists()
    assert interrupted(*OPTIONS, "--out", "no", cwd=data, look=1).returncode == 130
    assert not (data / "no" / "text.bin").exists()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background ignore it
    monkeypatch.setattr(start, "make_corpus", lambda *_: signal.raise_signal(signal.SIGINT))
    assert call("train.py", *OPTIONS, "--out", "early", cwd=data).returncode == 130
    assert not (data / "early").exists()


def test_a_second_run_in_a_directory_is_refused(copy):
    with FileLock(copy / ".lock"):
        assert_refused(call("train.py", "--resume", copy, cwd=copy.parent), "another run is writing to")
    assert call("train.py", "--resume", copy, cwd=copy.parent).returncode == 0


def test_a_changed_model_is_not_written_over(copy):
    tensors = load_file(copy / "model.safetensors")
    tensors["wpe.weight"] += 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    result = call("train.py", "--resume", copy, "--steps", "20", cwd=copy.parent)
    assert_refused(result, "was changed by another program", f"--init-from {copy / 'model.safetensors'}", "delete it")
    assert (load_file(copy / "model.safetensors")["wpe.weight"] == tensors["wpe.weight"]).all()
    (copy / "model.safetensors").unlink()
    assert call("train.py", "--resume", copy, "--steps", "11", cwd=copy.parent).returncode == 0


def test_a_directory_without_a_checkpoint_is_refused(tmp_path):
    assert_refused(call("train.py", "--resume", tmp_path, cwd=tmp_path), "has no checkpoint to resume")
    assert_refused(call("train.py", "--resume", cwd=tmp_path), "no run with a checkpoint")
    assert_refused(call("train.py", "--resume", "nowhere", cwd=tmp_path), "nowhere")


# From the weights of another model


def test_training_begins_with_weights_of_another_model(done, tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    other = shutil.copytree(done, tmp_path / "other")
    tensors = {f"transformer.{name}": array for name, array in load_file(other / "model.safetensors").items()}
    tensors["transformer.wpe.weight"] += 0.25
    shutil.rmtree(other / "checkpoints")
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    options = ["--data", "names.txt", "--steps", "3", "--engine", "scalar", "--batch-size", "2", "--out", "new"]
    result = call("train.py", "--init-from", "other", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "starting from the weights in other, with a new optimizer state" in result.stdout
    checkpoint = load_checkpoint(tmp_path / "new")
    assert checkpoint.origin.config == load_run(done).config
    assert checkpoint.step == 3
    begun = float(read_metrics(tmp_path / "new", 3)[0][2])
    losses = call("train.py", *SCALAR, "--steps", "3", "--out", "fresh", cwd=tmp_path)
    assert losses.returncode == 0
    assert begun != float(read_metrics(tmp_path / "fresh", 3)[0][2])


def test_training_begins_with_a_run_of_ours(done, tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    options = ["--data", "names.txt", "--steps", "1", "--engine", "scalar", "--learning-rate", "1e-30"]
    result = call("train.py", "--init-from", done, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = (load_run(path).parameters for path in (done, tmp_path / "runs" / "names"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_prose_without_an_end_goes_on_without(done, data):
    """As runs do that were begun before prose had one, and those that begin with the weights of a model of lines."""
    (data / "older.txt").write_text(NAMES * 4)
    options = ["--init-from", done, "--data", "older.txt", "--documents", "stream", "--batch-size", "3"]
    options += ["--steps", "30", "--eval-interval", "20", "--skip-check"]
    result = finished(data, "older-whole", *options)
    stopped(data, "older", *options, after=10)
    resumed(data, "older")
    assert_same_run(data, "older-whole", "older")
    assert load_run(data / "older").vocabulary == load_run(done).vocabulary
    assert json.loads((data / "older" / "generation_config.json").read_text())["eos_token_id"] is None
    result = call("sample.py", "--run", "older", "--num-samples", "2", "--max-new-tokens", "40", "--quiet", cwd=data)
    assert len(result.stdout) == 2 * (40 + 1)


def test_the_end_of_prose_stays_in_other_runs(tmp_path):
    (tmp_path / "fox.txt").write_text(PROSE)
    (tmp_path / "more.txt").write_text(PROSE.replace("fox", "dog"))
    (tmp_path / "lines.txt").write_text("the fox\nthe dog\nthe tree\nthe end\n")
    shape = ["--n-embd", "4", "--n-head", "2", "--block-size", "9"]
    options = ["--engine", "scalar", "--batch-size", "1", "--steps", "1", "--skip-check"]
    finished(tmp_path, "first", "--data", "fox.txt", *shape, *options)
    first = load_run(tmp_path / "first")
    assert first.vocabulary.endswith(END)
    finished(tmp_path, "more", "--data", "more.txt", "--init-from", "first", *options)
    finished(tmp_path, "lines", "--data", "lines.txt", "--init-from", "first", "--documents", "lines", *options)
    runs = [load_run(tmp_path / name) for name in ("more", "lines")]
    assert [(run.vocabulary, run.documents) for run in runs] == [
        (first.vocabulary, kind) for kind in ("stream", "lines")
    ]


def test_a_shape_or_text_must_fit(done, tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    (tmp_path / "others.txt").write_text("xyz\nyz\nzz\n")
    result = call("train.py", "--init-from", done, "--data", "names.txt", "--n-embd", "8", cwd=tmp_path)
    assert_refused(result, "--n-embd is 8, but the model in", "has 4")
    result = call("train.py", "--init-from", done, "--data", "others.txt", cwd=tmp_path)
    assert_refused(result, "does not know the character 'x'")
    assert not (tmp_path / "runs").exists()


# Ctrl-C in the midst of a look at the model


@pytest.mark.parametrize("engine", ["scalar", "compiled"])
def test_a_stopped_look_is_made_later(data, engine):
    options = [*OPTIONS, "--engine", engine, "--steps", "6", "--eval-interval", "2"]
    whole = f"look-whole-{engine}"
    finished(data, whole, *options)
    for look in (2, 3, 4):
        broken = f"look-{engine}-{look}"
        result = interrupted(*options, "--out", broken, cwd=data, look=look)
        assert result.returncode == 130, result.stderr
        assert f"interrupted after {2 * (look - 1)} steps" in result.stdout
        assert f"to go on: python train.py --resume {broken}" in result.stdout
        resumed(data, broken)
        assert_same_run(data, whole, broken)
        assert "is complete" in resumed(data, broken)


def test_before_the_first_step_nothing_is_saved(tmp_path):
    (tmp_path / "names.txt").write_text(NAMES)
    result = interrupted(*SCALAR, cwd=tmp_path, look=1)
    assert_refused(result, "interrupted", code=130)
    assert "step     0" not in result.stdout


def test_measuring_at_the_end_can_be_stopped(tmp_path):
    (tmp_path / "long.txt").write_text(LONG)
    options = [*OPTIONS[2:], "--data", "long.txt", "--n-layer", "1", "--block-size", "8", "--steps", "2"]
    result = interrupted(*options, cwd=tmp_path, look=4)
    assert result.returncode == 130, result.stderr
    assert "validating the best model on all 38,625 held-out characters" in result.stdout
    assert "skipped; all else is saved" in result.stdout
    kept = load_checkpoint(tmp_path / "runs" / "long")
    assert (kept.step, kept.model.loss_on_all) == (2, None)
    assert "python sample.py --run runs/long" in result.stdout
