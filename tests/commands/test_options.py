"""The options of the scripts: help for all of them, and a line for a value that cannot be."""

import pytest
from running import ROOT, TINY, assert_refused, call

IMPOSSIBLE = {
    "train.py": {
        "--n-embd": "5 0",
        "--n-head": "-2",
        "--n-layer": "0",
        "--steps": "0 many 1.5",
        "--batch-size": "-1",
        "--block-size": "0",
        "--eval-interval": "0",
        "--warmup": "-1",
        "--seed": "-1",
        "--learning-rate": "nan inf 0",
        "--weight-decay": "-0.1",
        "--grad-clip": "nan",
        "--documents": "pages",
        "--engine": "steam",
        "--threads": "0",
    },
    "sample.py": {
        "--temperature": "-1 nan inf hot",
        "--num-samples": "0",
        "--max-new-tokens": "0",
        "--top-k": "-3",
        "--seed": "-1",
        "--format": "csv",
    },
    "bench.py": {
        "--sections": "speed",
        "--models": "speed",
        "--repeats": "0",
        "--sizes": "8x1 8x0x4",
        "--engines": "steam",
        "--device": "tpu",
    },
}


@pytest.mark.parametrize("script", IMPOSSIBLE)
def test_an_impossible_setting_is_named(tmp_path, script):
    others = TINY if script == "train.py" else []
    for option, values in IMPOSSIBLE[script].items():
        for value in values.split():
            assert_refused(call(script, *others, f"{option}={value}", cwd=tmp_path), option, value)
    assert list(tmp_path.iterdir()) == []


def test_bench_tells_what_there_is(tmp_path):
    result = call("bench.py", "--sections", "speed", cwd=tmp_path)
    assert_refused(result, "--sections is speed", "table,large,scalar,loop,writing,first-run,scale,programs,gpt2,busy")
    assert_refused(call("bench.py", "--models", "speed", cwd=tmp_path), "--models is speed", "16x1x8,32x1x8")


@pytest.mark.parametrize("script", ["train.py", "sample.py"])
def test_an_unknown_option_is_named(tmp_path, script):
    for option in ("--frobnicate", "--see"):  # and no abbreviation is known
        assert_refused(call(script, option, "1", cwd=tmp_path), option, "--help")


def test_settings_that_exclude_each_other_are_refused(tmp_path):
    assert_refused(call("train.py", "--device", "cpu", cwd=tmp_path), "--device is cpu", "--engine torch")
    assert_refused(call("train.py", "--torch-compile", cwd=tmp_path), "--torch-compile is True", "--engine torch")


SCRIPTS = [*ROOT.glob("*.py"), *ROOT.glob("examples/*.py")]


@pytest.mark.parametrize("script", [path.name for path in SCRIPTS if "run_script(main)" in path.read_text()])
def test_help_shows_the_options(tmp_path, script):
    (path,) = (path for path in SCRIPTS if path.name == script)
    result = call(path, "--help", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ")
    assert "options:" in result.stdout
