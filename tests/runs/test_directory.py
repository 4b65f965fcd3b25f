"""A run directory: who may write to it, what loading checks, and what is made again."""

import itertools
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from types import SimpleNamespace

import filelock
import pytest
from helpers import TINY, make_checkpoint, make_link, make_run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from microgpt.errors import InputError
from microgpt.learning.training import OptimizerState, Update
from microgpt.runs.checkpoint import checkpoints, save_checkpoint
from microgpt.runs.directory import Run, create_run_directory, load_run, newest_run, repair, resume_run
from microgpt.runs.files import lock, read_bytes, replace, write_file
from microgpt.runs.hugging_face import restore_model, write_model
from microgpt.runs.metrics import read_metrics
from microgpt.runs.recorder import Recorder

DERIVED = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def refusal(function, *arguments):
    """The complaint, which must be a single line."""
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Directories


def test_a_run_directory_takes_the_next_free_name(tmp_path):
    (tmp_path / "names").write_text("mine")  # a file in the way
    (tmp_path / "names-2").mkdir()  # empty, so free
    first, held = create_run_directory(tmp_path / "names")
    second, other = create_run_directory(tmp_path / "names")  # while the first is empty, but locked
    (second / "config.json").touch()
    other.release()
    third, _ = create_run_directory(tmp_path / "names")
    assert held.is_locked
    assert [directory.name for directory in (first, second, third)] == ["names-2", "names-3", "names-4"]
    assert (tmp_path / "names").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()  # as little a place for directories as one without permission
    complaint = refusal(create_run_directory, tmp_path / "file" / "run").replace(os.sep, "/")
    assert "file/run" in complaint
    assert "choose another with --out" in complaint


@pytest.mark.parametrize("name", ["with space", "Übung", "🦊"])
def test_any_name_will_do(tmp_path, name):
    run = make_run(tmp_path / name)
    assert load_run(run.directory).directory.name == name
    assert newest_run(tmp_path).name == name


def saved_at(directory, date):
    """A run whose checkpoint was saved at a time, in seconds."""
    os.utime(checkpoints(make_run(directory).directory)[0], (date, date))


def test_the_newest_run_was_saved_to_last(tmp_path):
    assert "no trained model" in refusal(newest_run, tmp_path)
    assert "train.py" in refusal(newest_run, tmp_path)
    for date, name in enumerate(["b", "c", "a"], 1000):
        saved_at(tmp_path / name, date)
    saved_at(tmp_path / "from the future", 9e9)
    (tmp_path / "begun").mkdir()
    assert newest_run(tmp_path).name == "a"
    checkpoints(tmp_path / "b")[0].unlink()  # a model of another program
    os.utime(tmp_path / "b" / "model.safetensors", (2000, 2000))
    assert newest_run(tmp_path).name == "b"
    assert newest_run(tmp_path, resumable=True).name == "a"


def test_a_copy_is_older_until_it_goes_on(tmp_path):
    original = make_run(tmp_path / "our 'music'").directory
    copy = shutil.copytree(original, tmp_path / "backup", copy_function=shutil.copyfile)  # dated now, as by cp -r
    os.utime(checkpoints(original)[0], (1000, 1000))
    assert newest_run(tmp_path) == newest_run(tmp_path, resumable=True) == original
    original.rename(tmp_path.parent / "elsewhere")
    assert newest_run(tmp_path) == copy
    (tmp_path.parent / "elsewhere").rename(original)
    save_checkpoint(copy, make_checkpoint(step=11))
    assert newest_run(tmp_path) == copy


# Locks


def test_a_directory_that_is_written_to_is_refused(run):
    held = lock(run.directory)
    assert "another run is writing to" in refusal(resume_run, run.directory)
    held.release()
    lock(run.directory).release()


def test_a_dead_process_keeps_no_lock(run):
    program = (
        "import os, sys; from pathlib import Path; from microgpt.runs.files import lock; "
        "held = lock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, run.directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert "another run" in refusal(lock, run.directory)
        process.kill()
    lock(run.directory).release()


def test_a_file_system_without_locks_is_used(run, monkeypatch, capsys):
    def no_locks(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert lock(run.directory) is None
    assert "make sure that no other run writes there" in capsys.readouterr().err


# Loading


def test_a_run_is_what_its_checkpoint_says(run):
    checkpoint = make_checkpoint()
    assert (run.config, run.vocabulary, run.documents, run.text) == (TINY, "\nabcd", "lines", "ab\nba\n")
    best = checkpoint.named(checkpoint.best.parameters)
    assert all(run.parameters[name].tobytes() == best[name].tobytes() for name in best)


def test_loading_needs_nothing_but_the_checkpoint(run):
    for name in (*DERIVED, "README.md", "text.txt"):
        (run.directory / name).unlink()
    loaded = load_run(run.directory)
    assert (loaded.config, loaded.text) == (TINY, None)


@pytest.mark.parametrize("content", [b"", b"ab\nbb\n", b"\xff", b"ab\nba"])
def test_a_text_that_was_changed_is_refused(run, content):
    (run.directory / "text.txt").write_bytes(content)
    assert "text.txt is not the text of this run: delete it" in refusal(load_run, run.directory)


def test_a_directory_without_a_model_is_named(tmp_path):
    assert "nowhere" in refusal(load_run, tmp_path / "nowhere")
    assert "has no trained model" in refusal(load_run, create_run_directory(tmp_path / "run")[0])


# Files made from the checkpoint


@pytest.mark.parametrize("name", [*DERIVED, "README.md"])
def test_a_missing_or_damaged_file_is_made_again(run, name):
    path = run.directory / name
    before = path.read_bytes()
    damaged = [None] if name == "README.md" else [None, before[:-1], b"{}", b"", b"[" * 99]
    if name == "model.safetensors":
        damaged.append(before[:-7] + bytes([before[-7] ^ 4]) + before[-6:])
    for content in damaged:
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        (note,) = restore_model(run.directory, run.checkpoint)
        assert note.startswith(f"rewrote {name} from the checkpoint in {run.directory}")
        assert path.read_bytes() == before
        assert restore_model(run.directory, run.checkpoint) == []


def test_an_earlier_checkpoints_model_is_made_again(run):
    save_checkpoint(run.directory, make_checkpoint(seed=4, step=8))
    newer = load_run(run.directory)
    assert "rewrote model.safetensors from" in restore_model(run.directory, newer.checkpoint)[0]


def test_a_run_that_trains_is_not_repaired(run):
    assert repair(run) == []
    (run.directory / "config.json").unlink()
    held = lock(run.directory)
    assert repair(run) == []
    held.release()
    assert repair(run) == [f"rewrote config.json from the checkpoint in {run.directory}"]
    lock(run.directory).release()


def test_what_a_user_wrote_into_the_card_stays(run):
    (run.directory / "README.md").write_text("mine")
    assert restore_model(run.directory, run.checkpoint) == []
    assert (run.directory / "README.md").read_text() == "mine"


def test_a_model_that_fails_its_checksum_is_kept(run):
    path = run.directory / "model.safetensors"
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["ln_f.bias"] = tensors["ln_f.bias"] + 1
    save_file(tensors, path, metadata)
    assert "kept as .old" in restore_model(run.directory, run.checkpoint)[0]
    assert (load_file(f"{path}.old-1")["ln_f.bias"] == tensors["ln_f.bias"]).all()
    assert restore_model(run.directory, run.checkpoint) == []


def test_a_model_changed_while_training_is_kept(run):
    path = run.directory / "model.safetensors"
    save_file(load_file(path), path, {"format": "pt"})
    changed = path.read_bytes()
    write_model(run.directory, run.checkpoint)
    assert (run.directory / "model.safetensors.old-1").read_bytes() == changed
    assert restore_model(run.directory, run.checkpoint) == []


def test_a_model_in_several_files_is_kept(run):
    (run.directory / "model.safetensors.index.json").write_text("{}")
    (run.directory / "config.json").write_text("{}")
    assert "changed by another program" in restore_model(run.directory, run.checkpoint)[0]
    assert (run.directory / "config.json").read_text() == "{}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["text.txt", "config.json", "tokenizer.json", ".config.json.tmp", "metrics.csv"])
def test_a_pipe_as_a_file_keeps_nobody_waiting(run, name):
    (run.directory / name).unlink(missing_ok=True)
    os.mkfifo(run.directory / name)
    with suppress(InputError):
        restore_model(run.directory, load_run(run.directory).checkpoint)
        resume_run(run.directory)


def test_a_file_is_never_written_through_a_link(run, tmp_path):
    (tmp_path / "mine").write_text("mine")
    make_link(run.directory / ".config.json.tmp", tmp_path / "mine")
    (run.directory / "config.json").unlink()
    restore_model(run.directory, run.checkpoint)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (run.directory / "config.json").is_symlink()


# Metrics


def update(step):
    return Update(step, 2.0 + step / 3, 0.1 / step, 1.0)


@pytest.fixture
def recorded(run):
    """A run directory with metrics of the steps 0 to 7, and what a recorder wrote there."""
    state = OptimizerState(7, run.checkpoint.adam_m, run.checkpoint.adam_v)
    with Recorder(Run(*[None] * 4, run.directory), run.checkpoint.origin, state, []) as recorder:
        recorder.record(None, run.checkpoint.best)
        for step in range(1, 8):
            recorder.record(update(step), None)
    return run.directory


def test_metrics_are_rows_under_a_header(recorded):
    header, first, *rest = (recorded / "metrics.csv").read_text().splitlines()
    assert header == "step,training_loss,validation_loss,learning_rate,gradient_norm,seconds"
    assert first.startswith("0,,1.5,,,")
    assert rest[0].startswith(f"1,{2 + 1 / 3},,0.1,1.0,")
    assert len(rest) == 7


def test_rows_after_the_checkpoint_are_left_out(recorded):
    assert [row[0] for row in read_metrics(recorded, 4)] == list("01234")
    path = recorded / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_metrics(recorded, 6)) == 7
    assert "metrics.csv is damaged" in refusal(read_metrics, recorded, 7)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n" * 10**7, b"\0" * 10**7, b"\xff\xfe", b"a,b\n1,2\n", b'step,"\n' * 3, b"," * 10**7],
    ids=["empty", "newlines", "zeros", "no UTF-8", "other columns", "an open quote", "commas"],
)
def test_metrics_that_are_none_are_refused(recorded, content):
    (recorded / "metrics.csv").write_bytes(content)
    assert "metrics.csv is damaged" in refusal(resume_run, recorded)


def test_deleted_metrics_begin_anew_and_go_on(recorded):
    (recorded / "metrics.csv").unlink()
    checkpoint, rows, held = resume_run(recorded)
    assert rows == []
    held.release()
    state = OptimizerState(7, checkpoint.adam_m, checkpoint.adam_v)
    with Recorder(Run(*[None] * 4, recorded, None, checkpoint), checkpoint.origin, state, rows) as recorder:
        recorder.record(update(8), None)
        recorder.record(update(9), None)
    assert [row[0] for row in read_metrics(recorded, 9)] == ["8", "9"]


# Writing


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    write_file(tmp_path / "file", b"earlier")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*file'"):
        write_file(tmp_path / "file", b"later")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"earlier")]


def test_on_windows_a_rename_waits_for_a_reader(tmp_path, monkeypatch):
    attempts = iter([PermissionError(13, "in use"), PermissionError(13, "in use"), None])
    rename = os.replace

    def busy(*paths):
        error = next(attempts)
        if error:
            raise error
        rename(*paths)

    monkeypatch.setattr("microgpt.runs.files.sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(os, "replace", busy)
    write_file(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    attempts = itertools.repeat(PermissionError(13, "in use"))
    with pytest.raises(OSError, match="another program has it open, or it is read-only"):
        replace(tmp_path / "file", tmp_path / "other", patience=0.0)


def test_a_file_too_large_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(bytes(101))
    assert "more than 100 bytes" in refusal(read_bytes, tmp_path / "file", 100)


# Memory

MEASURED = """
import resource, sys
from contextlib import suppress
from pathlib import Path
from microgpt.errors import InputError
from microgpt.runs.hugging_face import restore_model
from microgpt.runs.directory import load_run, resume_run
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for directory in sys.argv[1:]:
    with suppress(InputError):
        run = load_run(Path(directory))
        if run.checkpoint:
            restore_model(run.directory, run.checkpoint)
            resume_run(run.directory)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def with_length(header):
    return len(header).to_bytes(8, "little") + header


def hostile():
    """Files that are large, or become so, made when they are needed."""
    yield "config.json", b'{"a":[' + b"[]," * 1_300_000 + b"[]]}"
    yield "tokenizer.json", b'{"model":[' + b"{}," * 1_300_000 + b"{}]}"
    yield "model.safetensors", with_length(b'{"a":[' + b"[]," * 5_000_000 + b"[]]}")
    yield "checkpoints/step-000007.safetensors", with_length(b'{"__metadata__":{"state":"' + b"[]" * 7_500_000 + b'"}}')
    yield "metrics.csv", b"0" * 260_000_000
    yield "metrics.csv", b"," * 100_000_000
    yield "text.txt", b"a" * 260_000_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_no_file_makes_loading_take_much_memory(tmp_path):
    directories = []
    for name, content in hostile():
        for with_checkpoint in (True, False) if name.endswith((".json", "model.safetensors")) else (True,):
            run = make_run(tmp_path / str(len(directories))).directory
            (run / name).write_bytes(content)
            if not with_checkpoint:
                checkpoints(run)[0].unlink()
            directories.append(run)
    arguments = [sys.executable, "-c", MEASURED, *directories]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert int(result.stdout) < 256_000  # kilobytes, most of all
