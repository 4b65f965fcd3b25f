"""GPT-2 as it lies on the Hub opens, in each form that its files have."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from microgpt.errors import InputError
from microgpt.learning.byte_pairs import BytePairs, cut_between_lines
from microgpt.runs.directory import load_run

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from gpt2_directories import END, TEXT, copied, shared, tokenizer, two_files  # noqa: E402
from safetensors.torch import load_file as load_torch  # noqa: E402
from safetensors.torch import save_file as save_torch  # noqa: E402
from transformers import GPT2LMHeadModel, GPT2Tokenizer  # noqa: E402

pytestmark = pytest.mark.slow
FILE = "model.safetensors"
STRANGE = "It is naïve: 😀👩\u200d👧 日本語\u2028\ufeff\x00 \t\t  \n\n\n  end \r\n"


def of_transformers(model):
    return {name.removeprefix("transformer."): w.detach().numpy() for name, w in model.named_parameters()}


def assert_same(run, model):
    theirs = of_transformers(model)
    assert run.parameters.keys() == theirs.keys()
    for name, array in run.parameters.items():
        assert (array == theirs[name]).all(), name


def change(directory, changed):
    tensors = changed(load_file(directory / FILE))
    save_file(tensors, directory / FILE, {"format": "pt"})


def test_a_directory_of_the_hub_opens(tmp_path):
    directory, model = shared()
    run = load_run(directory)
    assert_same(run, model)
    assert (run.documents, run.vocabulary.end, len(run.vocabulary)) == ("stream", END, 400)
    assert next(iter(run.parameters.values())).base is not None  # views of one vector: in memory once


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_all_names_of_the_tensors_are_known(tmp_path, prefix):
    directory = copied(tmp_path)

    def renamed(tensors):
        named = {prefix + name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        buffers = {f"{prefix}h.{layer}.attn.{name}": np.ones((1, 1, 24, 24), np.uint8)
                   for layer in (0, 1) for name in ("bias", "masked_bias")}  # fmt: skip
        head = {"lm_head.weight": named[f"{prefix}wte.weight"]} if prefix else {}
        return named | buffers | head

    change(directory, renamed)
    assert_same(load_run(directory), shared()[1])


def test_shards_with_an_index_are_one_model(tmp_path):
    directory = copied(tmp_path)
    (directory / FILE).unlink()
    shared()[1].save_pretrained(directory, max_shard_size="20KB")
    assert len(list(directory.glob("model-*.safetensors"))) > 2
    assert_same(load_run(directory), shared()[1])
    lost = sorted(directory.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(InputError, match=lost.name):
        load_run(directory)


def test_an_index_names_no_file_elsewhere(tmp_path):
    directory = copied(tmp_path)
    for place in ("../gpt2/model.safetensors", "/etc/passwd"):
        (directory / f"{FILE}.index.json").write_text(json.dumps({"weight_map": {"wte.weight": place}}))
        with pytest.raises(InputError, match="lies elsewhere"):
            load_run(directory)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precisions_become_single(tmp_path, kind):
    directory = copied(tmp_path)
    halves = {name: tensor.to(getattr(torch, kind)) for name, tensor in load_torch(directory / FILE).items()}
    save_torch(halves, directory / FILE, {"format": "pt"})
    run = load_run(directory)
    for name, array in run.parameters.items():
        assert array.dtype == np.float32
        assert (array == halves[f"transformer.{name}"].float().numpy()).all()


@pytest.mark.parametrize("form", ["tokenizer.json", "vocab.json"])
def test_a_text_has_the_tokens_of_transformers(tmp_path, form):
    directory = copied(tmp_path)
    if form == "vocab.json":
        two_files(directory)
    vocabulary = load_run(directory).vocabulary
    tokens = json.loads(tokenizer().to_str())["model"]["vocab"]
    if form == "vocab.json":
        theirs = GPT2Tokenizer.from_pretrained(directory)
        assert vocabulary.encode(STRANGE) == theirs(STRANGE).input_ids
    text = TEXT.read_text()[:20_000] + STRANGE + "<|endoftext|>"
    found = vocabulary.encode(text)
    assert found == tokenizer().encode(text).ids
    assert found[-1] == END
    assert len(found) < 0.7 * len(text)
    assert len(tokens) == 399
    assert vocabulary.decode(found) == text


def test_parts_of_a_text_have_its_tokens(monkeypatch):
    monkeypatch.setattr("microgpt.learning.byte_pairs.TOGETHER", 900)
    vocabulary = BytePairs(tokenizer().to_str(), 400, END)
    text = TEXT.read_text()[:30_000] + " \n \n\nx\n" * 400 + "no end" * 300 + "\n\n"
    parts = [text[i : i + 700] for i in range(0, len(text), 700)]
    assert len(list(cut_between_lines(iter(parts)))) > 20
    assert np.concatenate(list(vocabulary.encoded(iter(parts)))).tolist() == vocabulary.encode(text)


def test_tokens_stream_as_whole_characters():
    vocabulary = BytePairs(tokenizer().to_str(), 400, END)
    tokens = vocabulary.encode(STRANGE)
    parts = list(map(vocabulary.whole_characters(), [*tokens, None]))
    assert "".join(parts) == STRANGE
    assert "\ufffd" not in "".join(parts)
    assert len(parts) == len(tokens) + 1
    rng = np.random.default_rng(0)
    for _ in range(200):  # any tokens at all
        some = rng.integers(0, 400, 12).tolist()
        assert "".join(map(vocabulary.whole_characters(), [*some, None])) == vocabulary.decode(some)
        assert vocabulary.decode(some) == tokenizer().decode(some, skip_special_tokens=False)


def test_a_pickled_model_is_refused_with_its_conversion(tmp_path):
    directory = copied(tmp_path)
    (directory / FILE).unlink()
    state = shared()[1].state_dict()
    torch.save(state, directory / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle") as caught:
        load_run(directory)
    (line,) = re.findall(r'python -c "(.*)"$', str(caught.value))
    subprocess.run([sys.executable, "-c", line], check=True, capture_output=True)
    assert_same(load_run(directory), shared()[1])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"activation_function": "gelu"}, "activation_function is 'gelu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"model_type": "gpt_neo"}, "model_type is 'gpt_neo'"),
        ({"vocab_size": 399}, "has the token 399, but vocab_size is 399"),
    ],
)
def test_what_cannot_be_computed_is_named(tmp_path, changes, expected):
    directory = copied(tmp_path)
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError) as caught:
        load_run(directory)
    assert expected in str(caught.value)


def test_damaged_files_of_tokens_are_named(tmp_path):
    directory = copied(tmp_path)
    two_files(directory)
    (directory / "merges.txt").write_text("#version: 0.2\na nonsense\n")
    with pytest.raises(InputError, match=r"merges\.txt does not fit"):
        load_run(directory)
    (directory / "merges.txt").unlink()
    with pytest.raises(InputError, match=r"merges\.txt"):
        load_run(directory)


def test_a_model_of_transformers_is_as_before(tmp_path):
    """What it saves again is the same run."""
    directory = copied(tmp_path)
    GPT2LMHeadModel.from_pretrained(directory).save_pretrained(directory)
    assert_same(load_run(directory), shared()[1])
