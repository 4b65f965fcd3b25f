"""train.py --init-from a GPT-2 goes on training it, in its tokens, and the result is a GPT-2 again."""

import csv
import json

import numpy as np
import pytest
from running import assert_refused, call

from microgpt.learning.batches import make_corpus
from microgpt.learning.bigram import bigram_loss, bigram_probabilities, sparse_bigram_loss
from microgpt.learning.reading import text_of
from microgpt.runs.directory import load_run

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from gpt2_directories import TEXT, shared, tokenizer  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline  # noqa: E402

pytestmark = pytest.mark.slow
OPTIONS = ["--steps", "3", "--batch-size", "2", "--block-size", "20", "--learning-rate", "0.01", "--skip-check"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory in which the shared GPT-2 was trained, and what train.py printed."""
    directory = tmp_path_factory.mktemp("tokens")
    (directory / "my.txt").write_text(TEXT.read_text()[:8000] + "naïve 😀\n\n")
    result = call("train.py", "--init-from", shared()[0], "--data", "my.txt", *OPTIONS, cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory, result


def rows_of(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_losses_are_those_of_transformers(trained):
    directory, _ = trained
    vocabulary = load_run(shared()[0]).vocabulary
    text = text_of((directory / "my.txt").read_text(), vocabulary)
    corpus = make_corpus(text, 20, 0, "stream", vocabulary)
    assert corpus.training[0].tolist() + corpus.validation.ids.tolist() == tokenizer().encode(str(text)).ids
    tokens, _ = next(corpus.batches(20, 2, 0))
    held_out, losses = corpus.part, []
    for rows in (tokens, held_out.tokens(21)[:-1]):
        with torch.no_grad():
            logits = shared()[1](torch.tensor(rows[:, :-1])).logits
        losses.append(
            float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(rows[:, 1:]).flatten()))
        )
    first, step, *_ = rows_of(directory / "runs" / "my")
    assert float(step["training_loss"]) == pytest.approx(losses[0], abs=1e-5)
    assert float(first["validation_loss"]) == pytest.approx(losses[1], abs=0.02)  # the last window is shorter


def test_the_result_opens_in_transformers(trained):
    run = trained[0] / "runs" / "my"
    model, theirs = AutoModelForCausalLM.from_pretrained(run).eval(), AutoTokenizer.from_pretrained(run)
    text = "ROMEO: naïve 😀\n\n"
    assert theirs(text).input_ids == tokenizer().encode(text).ids
    assert theirs.decode(theirs(text).input_ids) == text
    assert (theirs.eos_token, model.config.eos_token_id) == ("<|endoftext|>", 399)
    ours = load_run(run)
    assert (ours.config.n_positions, ours.vocabulary) == (24, load_run(shared()[0]).vocabulary)
    for name, array in ours.parameters.items():
        assert (model.state_dict()[f"transformer.{name}"].numpy() == array).all()
    assert not (ours.parameters["wte.weight"] == shared()[1].transformer.wte.weight.detach().numpy()).all()
    (written,) = pipeline("text-generation", str(run))("ROMEO:", do_sample=False, max_new_tokens=8)
    result = call("sample.py", "--run", run, "--prompt", "ROMEO:", "--temperature", 0, "--max-new-tokens", 8,
                  "--format", "jsonl", cwd=run)  # fmt: skip
    assert json.loads(result.stdout)["text"] == written["generated_text"]
    assert "parts of words" in (run / "README.md").read_text()


def test_people_are_told_of_tokens(trained):
    _, result = trained
    for said in ("learning from my.txt: ", " tokens, ", "(nats per token): 5.99 is guessing"):
        assert said in result.stdout


def test_a_resumed_run_is_the_run_never_stopped(trained, tmp_path):
    directory, _ = trained
    call("train.py", "--init-from", shared()[0], "--data", directory / "my.txt", *OPTIONS, "--steps", 2, cwd=tmp_path)
    result = call("train.py", "--resume", "--steps", 3, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    again, once = (load_run(place / "runs" / "my") for place in (tmp_path, directory))
    assert again.checkpoint.step == once.checkpoint.step == 3
    (directory / "my.txt").rename(directory / "moved.txt")  # the copy of the text is enough
    result = call("train.py", "--resume", "--steps", 4, cwd=directory)
    (directory / "moved.txt").rename(directory / "my.txt")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--documents", "lines"], "--documents is lines"),
        (["--block-size", "25"], "--block-size is 25, but the model has 24 positions"),
        (["--n-layer", "3"], "--n-layer is 3"),
        (["--data", "short.txt"], "tokens, and its held-out tenth is no longer"),
    ],
)
def test_what_does_not_suit_tokens_is_refused(tmp_path, options, expected):
    (tmp_path / "my.txt").write_text(TEXT.read_text()[:8000])
    (tmp_path / "short.txt").write_text("To be, or not to be")
    given = ["--init-from", shared()[0], *([] if "--data" in options else ["--data", "my.txt"]), *options]
    assert_refused(call("train.py", *given, cwd=tmp_path), expected)


def test_pairs_of_many_tokens_are_counted_alike():
    rng = np.random.default_rng(0)
    training, held_out = [rng.integers(0, 9, 300)], [rng.integers(0, 9, 40).tolist()]
    expected = bigram_loss(bigram_probabilities(training, 9), held_out)
    assert sparse_bigram_loss(training, held_out, 9) == pytest.approx(expected, rel=1e-12)
