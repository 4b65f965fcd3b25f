"""A run directory is a Hugging Face model as it stands, and such a model can be a run."""

import json
import os
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from helpers import TINY, any_json, as_lists, assert_close, loads_or_is_refused, make_checkpoint, make_run, quickly
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from microgpt.errors import InputError
from microgpt.gpt import GPTConfig, empty_cache, gpt
from microgpt.learning.choosing import Choice, probabilities
from microgpt.learning.sampling import sample
from microgpt.learning.text import END
from microgpt.runs.checkpoint import checkpoints, save_checkpoint
from microgpt.runs.directory import load_run
from microgpt.runs.hugging_face import restore_model, write_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")  # whose parts are imported when they are used
from transformers.utils import logging  # noqa: E402

pytestmark = pytest.mark.slow

os.environ["HF_HUB_OFFLINE"] = "1"
logging.set_verbosity_error()
logging.disable_progress_bar()

ENDING = {"documents": "stream", "vocabulary": "\nabc" + END}
KINDS = {
    "lines": {},
    "stream": {"documents": "stream"},
    "ending": ENDING,
}  # prose from before there was an end, and now
STRANGE = "\n" + "".join(sorted(" \t\u00a0\u200b\u200d\u0301aä\u0308\"'\\<>&{}#😀👩م中\u2028\ufeff\u0085"))


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A run of each kind, which no test changes."""
    directory = tmp_path_factory.mktemp("kinds")
    return {name: make_run(directory / name, **options, seed=1) for name, options in KINDS.items()}


@pytest.fixture
def model(run):
    """A directory that is a Hugging Face model and nothing else."""
    checkpoints(run.directory)[0].unlink()
    return run.directory


def refusal(directory):
    """The complaint about a model, which must be a single line that names a file in it."""
    with pytest.raises(InputError) as caught:
        load_run(directory)
    assert "\n" not in str(caught.value)
    assert str(directory) in str(caught.value)
    return str(caught.value)


def change_json(directory, name, **changes):
    path = directory / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(directory, change):
    """Rewrite the parameters with some of them changed, as another program would."""
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})


def our_logits(run, tokens):
    params = as_lists({name: array.astype(np.float64) for name, array in run.parameters.items()})
    cache = empty_cache(run.config)
    return [gpt(params, run.config, token, position, cache) for position, token in enumerate(tokens)]


# It is a GPT-2


@pytest.mark.parametrize("shape", [(9, 3, 6, 2, 3), (30, 12, 8, 3, 1), (2, 1, 2, 1, 2)])
def test_the_logits_are_ours_at_every_position(tmp_path, shape):
    config = GPTConfig(*shape)
    checkpoint = make_checkpoint(config, vocabulary="\n" + "".join(chr(0x4E00 + i) for i in range(shape[0] - 1)))
    save_checkpoint(tmp_path, checkpoint)
    write_model(tmp_path, checkpoint)
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, config.n_positions).tolist()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).double().eval()
    with torch.no_grad():
        logits = theirs(torch.tensor([tokens])).logits[0].numpy()
    assert_close(our_logits(load_run(tmp_path), tokens), logits)


def test_every_character_passes_through_the_tokenizer(tmp_path):
    config = GPTConfig(len(STRANGE), 4, 2, 1, 1)
    write_model(tmp_path, make_checkpoint(config, "stream", vocabulary=STRANGE))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for number, character in enumerate(STRANGE):
        assert tokenizer.encode(character, add_special_tokens=False) == [number]
        assert tokenizer.decode([number], skip_special_tokens=False) == character
    numbers = np.random.default_rng(0).integers(0, len(STRANGE), 300).tolist()
    text = "".join(STRANGE[i] for i in numbers)
    assert tokenizer.encode(text, add_special_tokens=False) == numbers
    assert tokenizer.decode(numbers) == text


def test_a_prompt_gets_a_newline_only_before_lines(kinds):
    lines, prose, ending = (transformers.AutoTokenizer.from_pretrained(run.directory) for run in kinds.values())
    assert [tokenizer("ab").input_ids for tokenizer in (lines, prose, ending)] == [[0, 1, 2], [1, 2], [1, 2]]
    for text in ("\n", "a\n\nb\n", "\n\n\nc"):
        ids = ending(text).input_ids
        assert ids == ["\nabc".index(character) for character in text]
        assert ending.decode(ids, skip_special_tokens=True) == text
        assert ending.decode([4, 4, *ids, 4], skip_special_tokens=True) == text
    assert ending.all_special_tokens == [END]
    assert (prose.all_special_tokens, prose.pad_token) == ([], None)
    assert "pad_token" not in json.loads((kinds["stream"].directory / "tokenizer_config.json").read_text())
    assert "without `batch_size=`" in (kinds["stream"].directory / "README.md").read_text()


def written(directory, prompt, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no setting of ours is one that transformers has to warn about
        pipe = transformers.pipeline("text-generation", str(directory))
        return [found["generated_text"] for found in pipe(prompt, **options)]


@pytest.mark.parametrize("documents", ["lines", "stream", "ending"])
def test_the_pipeline_writes_what_we_write(kinds, documents):
    run = kinds[documents]
    for prompt in ("", "a", "abca"):
        length = {} if documents == "lines" else {"max_new_tokens": TINY.n_positions + 1 - max(1, len(prompt))}
        ours = sample(run, prompt, choice=Choice(temperature=0), **length)
        if documents != "lines" and not prompt:
            ours = "\n" + ours  # what it reads when there is nothing to read
        assert written(run.directory, prompt, do_sample=False, temperature=None, top_k=None) == [ours]


def test_the_pipeline_draws_from_the_models_own_probabilities(run):
    torch.manual_seed(0)
    texts = written(run.directory, "ab", num_return_sequences=2000)
    expected = probabilities(our_logits(run, [0, 1, 2])[-1], Choice())
    ending = dict.fromkeys(run.vocabulary, 0)
    for text in texts:
        ending[text[2] if len(text) > 2 else "\n"] += 1
    found = np.array([ending[character] for character in run.vocabulary]) / len(texts)
    assert np.abs(found - expected).max() < 5 * 0.5 / len(texts) ** 0.5


def test_the_pipeline_draws_from_all_characters(tmp_path):
    torch.manual_seed(0)
    config = GPTConfig(80, 2, 2, 1, 1)
    checkpoint = make_checkpoint(config, "stream", vocabulary="\n" + "".join(chr(0x4E00 + i) for i in range(79)))
    alike = replace(checkpoint.best, parameters=checkpoint.best.parameters / 50)  # nearly alike, but no two the same
    write_model(tmp_path, replace(checkpoint, best=alike))
    texts = written(tmp_path, chr(0x4E00), num_return_sequences=2000)
    assert len({text[1] for text in texts}) > 75  # transformers by itself would take the likeliest 50


def test_a_text_ends_where_its_end_is_drawn(kinds):
    torch.manual_seed(0)
    lines, prose, ending = (written(run.directory, "a", num_return_sequences=300) for run in kinds.values())
    assert not any("\n" in text for text in lines)
    assert {len(text) for text in lines} > {1, 2}
    assert max(map(len, lines)) <= TINY.n_positions
    assert any("\n" in text for text in prose)
    assert {len(text) for text in prose} == {TINY.n_positions + 1}
    assert {len(text) for text in ending} >= {1, 2, TINY.n_positions + 1}
    assert not any(END in text for text in ending)
    assert any("\n" in text for text in ending)


@pytest.mark.parametrize(
    ("documents", "seed", "prompts", "first_gets"),
    [
        ("lines", 0, ["a", "cab", "", "ab"], "dd"),
        ("ending", 4, ["ab", "a\nb", "\n\nc", "a"], "\n\n"),
        ("ending", 0, ["a", "ab", "abca"], ""),  # it ends at once
    ],
)
def test_a_batch_is_written_as_its_prompts_alone(tmp_path, documents, seed, prompts, first_gets):
    run = make_run(tmp_path / "run", **KINDS[documents], seed=seed)
    write, options = (
        transformers.pipeline("text-generation", str(run.directory)),
        {"do_sample": False, "max_new_tokens": 2},
    )
    alone = [write(prompt, **options)[0]["generated_text"] for prompt in prompts]
    assert alone == [sample(run, prompt, choice=Choice(temperature=0), max_new_tokens=2) for prompt in prompts]
    together = write(prompts, batch_size=len(prompts), **options)
    assert [found["generated_text"] for (found,) in together] == alone
    tokenizer, model = (
        kind.from_pretrained(run.directory) for kind in (transformers.AutoTokenizer, transformers.AutoModelForCausalLM)
    )
    filled_up = tokenizer(prompts, padding=True, return_tensors="pt")
    by_hand = model.generate(**filled_up, **options)
    assert tokenizer.batch_decode(by_hand, skip_special_tokens=True) == alone
    assert alone[0] == prompts[0] + first_gets


@pytest.mark.parametrize("documents", ["lines", "stream", "ending"])
def test_the_card_tells_the_characters_and_unknown_ones(kinds, documents):
    run = kinds[documents]
    card = (run.directory / "README.md").read_text()
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.directory)
    with pytest.raises(Exception, match="UNK") as caught:
        tokenizer("abz")
    assert str(caught.value).removeprefix("WordLevel error: ") in card
    (remedy,) = re.findall(r"`(set\(.*?)`", card, re.DOTALL)
    assert eval(remedy, {"prompt": "abz", "AutoTokenizer": transformers.AutoTokenizer}) == {"z"}
    characters = "\nabc" if documents == "ending" else "\nabcd"
    assert f"\n{characters!r}\n" in card
    assert ("U+0003" in card) == (documents == "ending")
    assert END not in card


def test_the_card_tells_the_facts_of_the_run(run):
    card = (run.directory / "README.md").read_text()
    origin = run.checkpoint.origin
    for fact in ("ab.txt", origin.data_sha256, "steps: 9", "1.5000", "2.5000", "2025-01-31", "0.1", "ab\nba"):
        assert fact in card
    assert f'pipeline("text-generation", "{run.directory.as_posix()}")' in card


def test_the_card_survives_what_is_in_a_text(tmp_path):
    checkpoint = make_checkpoint()
    best = replace(checkpoint.best, samples=["```", "<script>", "````", '"', "'\\"])
    origin = replace(checkpoint.origin, data="a`b``\n# c.txt")
    write_model(tmp_path, replace(checkpoint, best=best, origin=origin))
    card = (tmp_path / "README.md").read_text()
    assert "`````text\n```\n<script>\n````\n\"\n'\\\n`````" in card
    assert "# c.txt" not in [line.strip() for line in card.splitlines()]


# A model that transformers saved


def saved_by_transformers(run, directory, **changes):
    """Our model, changed a little by PyTorch, as transformers saves it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(run.directory, **changes)
    with torch.no_grad():
        model.transformer.wpe.weight += 0.5
    model.save_pretrained(directory)
    transformers.AutoTokenizer.from_pretrained(run.directory).save_pretrained(directory)
    return model


@pytest.mark.parametrize("documents", ["lines", "stream", "ending"])
def test_a_model_that_transformers_saves_is_a_run(kinds, tmp_path, documents):
    run = kinds[documents]
    theirs = saved_by_transformers(run, tmp_path / "theirs", resid_pdrop=0.3)
    loaded = load_run(tmp_path / "theirs")
    assert (loaded.config, loaded.vocabulary, loaded.documents) == (run.config, run.vocabulary, run.documents)
    before, after = (transformers.AutoTokenizer.from_pretrained(path) for path in (run.directory, tmp_path / "theirs"))
    for name in ("bos_token", "eos_token", "pad_token", "padding_side", "all_special_tokens"):
        assert getattr(after, name) == getattr(before, name)
    assert after("a\nb").input_ids == before("a\nb").input_ids
    assert loaded.checkpoint is None
    tokens = [0, 1, 2, 3]
    with torch.no_grad():
        logits = theirs.double().eval()(torch.tensor([tokens])).logits[0].numpy()
    assert_close(our_logits(loaded, tokens), logits)


def test_a_model_changed_on_purpose_is_left_alone(run):
    saved_by_transformers(run, run.directory)
    before = {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()}
    (note,) = restore_model(run.directory, run.checkpoint)
    assert "was changed by another program" in note
    assert f"--init-from {run.directory / 'model.safetensors'}" in note
    assert before == {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()}
    changed = load_run(run.directory / "model.safetensors")
    assert (changed.parameters["wpe.weight"] == run.parameters["wpe.weight"] + np.float32(0.5)).all()
    assert (load_run(run.directory).parameters["wpe.weight"] == run.parameters["wpe.weight"]).all()


def test_older_buffers_and_a_copied_head_are_fine(model):
    def add(tensors):
        tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 6, 6), np.float32))
        tensors["h.0.attn.masked_bias"] = np.array(-1e4, np.float32)
        tensors["lm_head.weight"] = tensors["wte.weight"]

    change_tensors(model, add)
    change_json(model, "config.json", n_inner=16, activation_function="gelu_pytorch_tanh")  # other words for the same
    assert load_run(model).config == TINY


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "llama"),
        ("model_type", None),
        ("activation_function", "relu"),
        ("activation_function", "gelu"),
        ("layer_norm_epsilon", 1e-6),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
        ("eos_token_id", [0, 1]),
        ("n_inner", 5),
        ("n_head", 3),
        *(("n_layer", size) for size in (0, -1, 2.0, True, "4", None, 10**30)),
        ("n_embd", None),
    ],
)
def test_a_gpt_of_another_kind_is_named(model, key, value):
    change_json(model, "config.json", **{key: value})
    complaint = refusal(model)
    assert "config.json" in complaint
    assert key in complaint


VOCAB = {"\n": 0, "a": 1, "b": 2, "c": 3, "d": 4}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": {"type": "BPE", "vocab": VOCAB, "merges": []}}, "neither single characters nor byte pairs"),
        ({"model": None}, "tokens are not single characters"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"ab": 5}}}, "the token 'ab' is not a single character"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"d": 5}}}, "are not 0 to 4"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"d": 3}}}, "are not 0 to 4"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"d": "4"}}}, "is '4', expected an integer"),
        (
            {"model": {"type": "WordLevel", "vocab": {c: i for i, c in enumerate("abcde")}}, "added_tokens": []},
            "lacks the newline",
        ),
        ({"model": {"type": "WordLevel", "vocab": {"\n": 0, "a": 1}}}, "has 2 characters, but vocab_size is 5"),
        ({"normalizer": {"type": "Lowercase"}}, "tokens are not single characters"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "tokens are not single characters"),
        ({"added_tokens": [{"id": 5, "content": "[PAD]"}]}, "the added token '[PAD]' is not in the vocabulary"),
        ({"added_tokens": 7}, "the added token 7"),
    ],
)
def test_another_tokenizer_is_named(model, change, expected):
    change_json(model, "tokenizer.json", **change)
    complaint = refusal(model)
    assert "tokenizer.json" in complaint
    assert expected in complaint


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop("ln_f.bias"), "has 15 tensors, which is wrong for 1 layers"),
        (lambda t: t.update(extra=np.ones(1, np.float32)), "has 17 tensors"),
        (lambda t: t.update(other=t.pop("ln_f.bias")), "the tensor ln_f.bias is missing"),
        (lambda t: t.update({"ln_f.bias": np.zeros((4, 1), np.float32)}), "ln_f.bias has shape (4, 1)"),
        (lambda t: t.update({"ln_f.bias": np.zeros(4, np.int32)}), "ln_f.bias has dtype I32"),
        (lambda t: t.update({"ln_f.bias": np.zeros(4, np.float64)}), "has tensors of float64 and of other types"),
        (lambda t: t["ln_f.bias"].__setitem__(0, np.nan), "ln_f.bias holds numbers that are not finite"),
        (lambda t: t.update({"lm_head.weight": t["wte.weight"] + 1}), "lm_head.weight differs from wte.weight"),
    ],
)
def test_parameters_that_do_not_fit_are_named(model, change, expected):
    change_tensors(model, change)
    complaint = refusal(model)
    assert "model.safetensors" in complaint
    assert expected in complaint


def test_a_post_processor_without_a_newline_means_prose(model):
    for template in ({"single": {"a": 1}}, {"single": 5}, {"single": [5]}, {"single": []}, [], 3):
        change_json(model, "tokenizer.json", post_processor=template)
        assert load_run(model).documents == "stream"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(model, name):
    (model / name).rename(model / "model-00001-of-00002.safetensors")
    assert name in refusal(model)
    if name == "model.safetensors":
        (model / "model.safetensors.index.json").touch()
        assert "model.safetensors.index.json" in refusal(model)


def test_a_flipped_bit_is_refused(model):
    path = model / "model.safetensors"
    content = path.read_bytes()
    for i in range(8 + int.from_bytes(content[:8], "little"), len(content), 7):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
        assert "model.safetensors" in refusal(model)


JSON_KEYS = [
    ("config.json", key) for key in ("model_type", "n_embd", "n_inner", "layer_norm_epsilon", "tie_word_embeddings")
] + [("tokenizer.json", key) for key in ("model", "added_tokens", "pre_tokenizer", "normalizer", "post_processor")]


@quickly
@given(key=st.sampled_from(JSON_KEYS), value=any_json)
def test_any_json_loads_or_is_refused(model, key, value):
    name, entry = key
    before = (model / name).read_bytes()
    change_json(model, name, **{entry: value})
    loads_or_is_refused(load_run, model)
    (model / name).write_bytes(before)


@quickly
@given(name=st.sampled_from(["config.json", "tokenizer.json", "model.safetensors"]), content=st.binary(max_size=300))
def test_any_bytes_are_refused(model, name, content):
    before = (model / name).read_bytes()
    (model / name).write_bytes(content)
    assert name in refusal(model)
    (model / name).write_bytes(before)


def test_absurd_json_is_refused(model):
    for content in (b"[" * 4_000_000, b"[" * 4_000_001, b'{"a":' * 700_000, b"[{}," * 900_000 + b"1]"):
        (model / "config.json").write_bytes(content)
        assert "config.json" in refusal(model)
