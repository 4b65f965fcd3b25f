"""A run directory: who may write to it, what loading checks, and what is made again."""

import os
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from types import SimpleNamespace

import filelock
import pytest
from helpers import TINY, make_checkpoint, make_run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from microgpt.errors import InputError
from microgpt.learning.training import OptimizerState, Update
from microgpt.runs.checkpoint import checkpoints, save_checkpoint
from microgpt.runs.directory import Run, create_run_directory, load_run, newest_run, resume_run
from microgpt.runs.files import lock, read_bytes, write_file
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
    taken = []
    for _ in range(3):
        directory, held = create_run_directory(tmp_path / "runs" / "names")
        (directory / "config.json").touch()
        held.release()
        taken.append(directory.name)
    assert taken == ["names", "names-2", "names-3"]


def test_an_empty_directory_is_free(tmp_path):
    assert create_run_directory(tmp_path)[0] == tmp_path


def test_a_file_in_the_way_is_not_touched(tmp_path):
    (tmp_path / "names").write_text("mine")
    assert create_run_directory(tmp_path / "names")[0].name == "names-2"
    assert (tmp_path / "names").read_text() == "mine"


def test_two_runs_that_begin_at_once_do_not_meet(tmp_path):
    first, held = create_run_directory(tmp_path / "names")
    second, other = create_run_directory(tmp_path / "names")
    assert held.is_locked
    assert other.is_locked
    assert (first.name, second.name) == ("names", "names-2")


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    assert "file/run" in refusal(create_run_directory, tmp_path / "file" / "run").replace(os.sep, "/")


@pytest.mark.parametrize("name", ["with space", "Übung", "名前", "🦊"])
def test_any_name_will_do(tmp_path, name):
    run = make_run(tmp_path / name)
    assert load_run(run.directory).directory.name == name
    assert newest_run(tmp_path).name == name


def test_the_newest_run_is_the_one_saved_to_last(tmp_path):
    for i, name in enumerate(["b", "c", "a"]):
        os.utime(checkpoints(make_run(tmp_path / name).directory)[0], (1000 + i, 1000 + i))
    assert newest_run(tmp_path).name == "a"


def test_a_run_without_a_model_is_not_the_newest(tmp_path):
    make_run(tmp_path / "done")
    (tmp_path / "begun").mkdir()
    assert newest_run(tmp_path).name == "done"


def test_a_model_of_another_program_counts_only_where_nothing_is_resumed(tmp_path):
    make_run(tmp_path / "ours")
    other = make_run(tmp_path / "others").directory
    checkpoints(other)[0].unlink()
    os.utime(other / "model.safetensors", (9e9, 9e9))
    assert newest_run(tmp_path).name == "others"
    assert newest_run(tmp_path, resumable=True).name == "ours"


def test_no_run_at_all_is_an_error(tmp_path):
    assert "no trained model" in refusal(newest_run, tmp_path / "runs")
    assert "train.py" in refusal(newest_run, tmp_path / "runs")


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


def test_a_file_system_without_locks_is_said_and_used(run, monkeypatch, capsys):
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


@pytest.mark.parametrize("name", DERIVED)
def test_loading_needs_none_of_the_files_made_from_the_checkpoint(run, name):
    (run.directory / name).unlink()
    assert load_run(run.directory).config == TINY


def test_a_run_without_its_text_can_be_loaded(run):
    (run.directory / "text.txt").unlink()
    assert load_run(run.directory).text is None


@pytest.mark.parametrize("content", [b"", b"ab\nbb\n", b"\xff", b"ab\nba"])
def test_a_text_that_was_changed_is_refused(run, content):
    (run.directory / "text.txt").write_bytes(content)
    assert "text.txt is not the text of this run: delete it" in refusal(load_run, run.directory)


def test_a_missing_run_directory_is_named(tmp_path):
    assert "nowhere" in refusal(load_run, tmp_path / "nowhere")


def test_a_run_that_came_to_nothing_is_named(tmp_path):
    assert "has no trained model" in refusal(load_run, create_run_directory(tmp_path / "run")[0])


# Files made from the checkpoint


@pytest.mark.parametrize("name", [*DERIVED, "README.md"])
def test_a_missing_file_is_made_again(run, name):
    path = run.directory / name
    before = path.read_bytes()
    path.unlink()
    assert restore_model(run.directory, run.checkpoint) == [f"rewrote {name} from the checkpoint in {run.directory}"]
    assert len(path.read_bytes()) == len(before)
    assert restore_model(run.directory, run.checkpoint) == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"{}", lambda data: b"", lambda data: b"[" * 99]
)
@pytest.mark.parametrize("name", DERIVED)
def test_a_damaged_file_is_made_again(run, name, damage):
    path = run.directory / name
    path.write_bytes(damage(path.read_bytes()))
    assert f"rewrote {name} from" in restore_model(run.directory, run.checkpoint)[0]
    assert restore_model(run.directory, run.checkpoint) == []


def test_a_flipped_bit_of_the_model_is_mended(run):
    path = run.directory / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-7] + bytes([content[-7] ^ 4]) + content[-6:])
    assert "rewrote model.safetensors from" in restore_model(run.directory, run.checkpoint)[0]


def test_the_model_of_an_earlier_checkpoint_is_made_again(run):
    save_checkpoint(run.directory, make_checkpoint(seed=4, step=8))
    newer = load_run(run.directory)
    assert "rewrote model.safetensors from" in restore_model(run.directory, newer.checkpoint)[0]


def test_what_a_user_wrote_into_the_card_stays(run):
    (run.directory / "README.md").write_text("mine")
    assert restore_model(run.directory, run.checkpoint) == []
    assert (run.directory / "README.md").read_text() == "mine"


def test_a_model_with_our_checksum_that_does_not_fit_is_kept_beside_the_new_one(run):
    path = run.directory / "model.safetensors"
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["ln_f.bias"] = tensors["ln_f.bias"] + 1
    save_file(tensors, path, metadata)
    assert "kept as .old" in restore_model(run.directory, run.checkpoint)[0]
    assert (load_file(f"{path}.old-1")["ln_f.bias"] == tensors["ln_f.bias"]).all()
    assert restore_model(run.directory, run.checkpoint) == []


def test_a_model_that_another_program_changed_while_training_is_kept(run):
    path = run.directory / "model.safetensors"
    save_file(load_file(path), path, {"format": "pt"})
    changed = path.read_bytes()
    write_model(run.directory, run.checkpoint)
    assert (run.directory / "model.safetensors.old-1").read_bytes() == changed
    assert restore_model(run.directory, run.checkpoint) == []


def test_a_model_saved_in_several_files_is_left_alone(run):
    (run.directory / "model.safetensors.index.json").write_text("{}")
    (run.directory / "config.json").write_text("{}")
    assert "changed by another program" in restore_model(run.directory, run.checkpoint)[0]
    assert (run.directory / "config.json").read_text() == "{}"


def test_the_same_model_is_the_same_bytes(run, tmp_path):
    write_model(run.directory, run.checkpoint)
    first = (run.directory / "model.safetensors").read_bytes()
    for _ in range(5):
        (run.directory / "model.safetensors").unlink()
        write_model(run.directory, run.checkpoint)
        assert (run.directory / "model.safetensors").read_bytes() == first


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["text.txt", "config.json", "tokenizer.json", ".config.json.tmp", "metrics.csv"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(run, name):
    (run.directory / name).unlink(missing_ok=True)
    os.mkfifo(run.directory / name)
    with suppress(InputError):
        restore_model(run.directory, load_run(run.directory).checkpoint)
        resume_run(run.directory)


def test_a_file_is_never_written_through_a_link(run, tmp_path):
    (tmp_path / "mine").write_text("mine")
    (run.directory / ".config.json.tmp").symlink_to(tmp_path / "mine")
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


def test_metrics_are_rows_under_a_header_to_be_read_at_any_time(recorded):
    header, first, *rest = (recorded / "metrics.csv").read_text().splitlines()
    assert header == "step,training_loss,validation_loss,learning_rate,gradient_norm,seconds"
    assert first.startswith("0,,1.5,,,")
    assert rest[0].startswith(f"1,{2 + 1 / 3},,0.1,1.0,")
    assert len(rest) == 7


def test_rows_after_the_checkpoint_are_left_out(recorded):
    assert [row[0] for row in read_metrics(recorded, 4)] == list("01234")


def test_a_row_that_was_cut_is_left_out_after_the_checkpoint_and_refused_before(recorded):
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


def test_metrics_that_were_deleted_begin_anew_and_go_on(recorded):
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


def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
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


def test_a_file_that_is_larger_than_it_can_be_is_not_read(tmp_path):
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
with suppress(InputError):
    run = load_run(Path(sys.argv[1]))
    if run.checkpoint:
        restore_model(run.directory, run.checkpoint)
        resume_run(run.directory)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
HOSTILE = {
    "a JSON file of empty lists": ("config.json", b'{"a":[' + b"[]," * 1_300_000 + b"[]]}"),
    "a long list in the tokenizer": ("tokenizer.json", b'{"model":[' + b"{}," * 1_300_000 + b"{}]}"),
    "a header of empty lists": ("model.safetensors", b'{"a":[' + b"[]," * 5_000_000 + b"[]]}"),
    "metrics that are one line": ("metrics.csv", b"0" * 260_000_000),
    "metrics that are commas": ("metrics.csv", b"," * 100_000_000),
    "a text that is not the run's": ("text.txt", b"a" * 260_000_000),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
@pytest.mark.parametrize("with_checkpoint", [True, False])
@pytest.mark.parametrize(("name", "content"), HOSTILE.values(), ids=HOSTILE.keys())
def test_no_file_makes_loading_take_much_memory(run, name, content, with_checkpoint):
    if not with_checkpoint and name in ("metrics.csv", "text.txt"):
        pytest.skip("is read with a checkpoint only")
    if name == "model.safetensors":
        content = len(content).to_bytes(8, "little") + content
    (run.directory / name).write_bytes(content)
    if not with_checkpoint:
        checkpoints(run.directory)[0].unlink()
    arguments = [sys.executable, "-c", MEASURED, run.directory]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert int(result.stdout) < 256_000  # kilobytes


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_no_header_of_a_checkpoint_makes_loading_take_much_memory(run):
    described = b'{"__metadata__":{"state":"' + b"[]," * 5_000_000 + b'"}}'
    checkpoints(run.directory)[0].write_bytes(len(described).to_bytes(8, "little") + described)
    arguments = [sys.executable, "-c", MEASURED, run.directory]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert int(result.stdout) < 256_000


def test_where_no_directory_can_be_made_another_place_is_offered(tmp_path):
    (tmp_path / "file").write_text("")  # as little a place for directories as one without permission
    assert "choose another with --out" in refusal(create_run_directory, tmp_path / "file" / "names")


def test_a_copy_is_not_the_newest_run_until_it_goes_on(tmp_path):
    original = make_run(tmp_path / 'our "music"').directory
    copy = shutil.copytree(original, tmp_path / "backup", copy_function=shutil.copyfile)  # dated now, as by cp -r
    os.utime(checkpoints(original)[0], (1000, 1000))
    assert newest_run(tmp_path) == newest_run(tmp_path, resumable=True) == original
    further = make_checkpoint(step=11)
    save_checkpoint(copy, further)
    assert newest_run(tmp_path) == copy
    shutil.rmtree(original)
    assert newest_run(tmp_path) == copy


def test_a_copy_whose_original_is_gone_is_a_run_like_others(tmp_path):
    make_run(tmp_path / "music").directory.rename(tmp_path / "backup")
    assert newest_run(tmp_path).name == "backup"


def test_a_date_in_the_future_is_no_sign_of_being_new(tmp_path):
    for name, date in (("future", 9e9), ("later", 1000), ("earlier", 900)):
        os.utime(checkpoints(make_run(tmp_path / name).directory)[0], (date, date))
    assert newest_run(tmp_path).name == "later"
