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
from microgpt.learning.sampling import Choice, probabilities, sample
from microgpt.learning.text import END
from microgpt.runs.checkpoint import checkpoints, save_checkpoint
from microgpt.runs.directory import load_run
from microgpt.runs.hugging_face import read_model, restore_model, write_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from safetensors.torch import save_file as save_torch_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline  # noqa: E402
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 6, 4, 1, 2), (9, 3, 6, 2, 3), (30, 12, 8, 3, 1), (2, 1, 2, 1, 2)])
def test_the_logits_are_ours_at_every_position(tmp_path, shape, dtype):
    config = GPTConfig(*shape)
    checkpoint = make_checkpoint(config, vocabulary="\n" + "".join(chr(0x4E00 + i) for i in range(shape[0] - 1)))
    save_checkpoint(tmp_path, checkpoint)
    write_model(tmp_path, checkpoint)
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, config.n_positions).tolist()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).double().eval()
    with torch.no_grad():
        logits = theirs(torch.tensor([tokens])).logits[0].numpy()
    assert_close(our_logits(load_run(tmp_path), tokens), logits)


@pytest.mark.parametrize("documents", ["lines", "stream"])
def test_every_character_comes_through_the_tokenizer_and_back(tmp_path, documents):
    config = GPTConfig(len(STRANGE), 4, 2, 1, 1)
    write_model(tmp_path, make_checkpoint(config, documents, vocabulary=STRANGE))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for number, character in enumerate(STRANGE):
        assert tokenizer.encode(character, add_special_tokens=False) == [number]
        assert tokenizer.decode([number], skip_special_tokens=False) == character
    rng = np.random.default_rng(0)
    for _ in range(50):
        numbers = rng.integers(0, len(STRANGE), 30).tolist()
        text = "".join(STRANGE[i] for i in numbers)
        assert tokenizer.encode(text, add_special_tokens=False) == numbers
        assert tokenizer.decode(numbers) == text


def test_a_prompt_gets_its_opening_newline_where_lines_are_documents(tmp_path):
    first, second = (make_run(tmp_path / documents, documents).directory for documents in ("lines", "stream"))
    assert AutoTokenizer.from_pretrained(first)("ab")["input_ids"] == [0, 1, 2]
    assert AutoTokenizer.from_pretrained(second)("ab")["input_ids"] == [1, 2]


def test_an_unknown_character_is_not_swallowed(run):
    with pytest.raises(Exception, match="UNK"):
        AutoTokenizer.from_pretrained(run.directory)("abz")


def written(directory, prompt, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no setting of ours is one that transformers has to warn about
        pipe = pipeline("text-generation", str(directory))
        return [found["generated_text"] for found in pipe(prompt, **options)]


@pytest.mark.parametrize("prompt", ["", "a", "ab", "abca"])
@pytest.mark.parametrize("documents", ["lines", "stream", "ending"])
def test_the_pipeline_writes_what_we_write(tmp_path, documents, prompt):
    run = make_run(tmp_path / "run", **KINDS[documents], seed=3)
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


def test_names_end_at_the_newline_and_all_at_the_end_of_the_context(tmp_path):
    torch.manual_seed(0)
    lines, prose = (make_run(tmp_path / documents, documents).directory for documents in ("lines", "stream"))
    names = written(lines, "a", num_return_sequences=300)
    assert not any("\n" in name for name in names)
    assert {len(name) for name in names} > {1, 2}
    assert max(map(len, names)) <= TINY.n_positions
    texts = written(prose, "a", num_return_sequences=300)
    assert any("\n" in text for text in texts)
    assert {len(text) for text in texts} == {TINY.n_positions + 1}


@pytest.mark.parametrize(
    ("documents", "seed", "prompts", "first_gets"),
    [
        ("lines", 0, ["a", "cab", "", "ab"], "dd"),
        ("ending", 4, ["ab", "a\nb", "\n\nc", "a"], "\n\n"),
        ("ending", 0, ["a", "ab", "abca"], ""),  # it ends at once
    ],
)
def test_a_batch_is_written_as_each_of_its_prompts_is_alone(tmp_path, documents, seed, prompts, first_gets):
    run = make_run(tmp_path / "run", **KINDS[documents], seed=seed)
    write, options = pipeline("text-generation", str(run.directory)), {"do_sample": False, "max_new_tokens": 2}
    alone = [write(prompt, **options)[0]["generated_text"] for prompt in prompts]
    assert alone == [sample(run, prompt, choice=Choice(temperature=0), max_new_tokens=2) for prompt in prompts]
    together = write(prompts, batch_size=len(prompts), **options)
    assert [found["generated_text"] for (found,) in together] == alone
    tokenizer, model = (kind.from_pretrained(run.directory) for kind in (AutoTokenizer, AutoModelForCausalLM))
    filled_up = tokenizer(prompts, padding=True, return_tensors="pt")
    by_hand = model.generate(**filled_up, **options)
    assert tokenizer.batch_decode(by_hand, skip_special_tokens=True) == alone
    assert alone[0] == prompts[0] + first_gets


def test_a_batch_of_prose_needs_no_further_line(tmp_path):
    run, prompts = make_run(tmp_path / "run", **ENDING), ["ab", "a\nb"]
    found = pipeline("text-generation", str(run.directory))(prompts, batch_size=2)
    assert all(one["generated_text"].startswith(prompt) for (one,), prompt in zip(found, prompts, strict=True))


def test_no_newline_of_prose_is_lost_and_nothing_is_put_before_it(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(make_run(tmp_path / "run", **ENDING).directory)
    for text in ("\n", "a\n\nb\n", "\n\n\nc"):
        ids = tokenizer(text).input_ids
        assert ids == ["\nabc".index(character) for character in text]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert tokenizer.decode([4, 4, *ids, 4], skip_special_tokens=True) == text
    assert tokenizer.all_special_tokens == [END]


def test_prose_ends_where_its_end_is_drawn(tmp_path):
    torch.manual_seed(0)
    directory = make_run(tmp_path / "run", **ENDING, seed=1).directory
    texts = written(directory, "a", num_return_sequences=300)
    assert {len(text) for text in texts} >= {1, 2, TINY.n_positions + 1}
    assert not any(END in text for text in texts)
    assert any("\n" in text for text in texts)


def test_prose_from_before_there_was_an_end_has_nothing_special(tmp_path):
    directory = make_run(tmp_path / "run", "stream").directory
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert (tokenizer.all_special_tokens, tokenizer.pad_token) == ([], None)
    assert "pad_token" not in json.loads((directory / "tokenizer_config.json").read_text())
    assert "without `batch_size=`" in (directory / "README.md").read_text()


@pytest.mark.parametrize("documents", ["lines", "stream", "ending"])
def test_the_card_tells_the_characters_and_how_to_find_an_unknown_one(tmp_path, documents):
    run = make_run(tmp_path / "run", **KINDS[documents])
    card = (run.directory / "README.md").read_text()
    tokenizer = AutoTokenizer.from_pretrained(run.directory)
    with pytest.raises(Exception, match="UNK") as caught:
        tokenizer("abz")
    assert str(caught.value).removeprefix("WordLevel error: ") in card
    (remedy,) = re.findall(r"`(set\(.*?)`", card, re.DOTALL)
    assert eval(remedy, {"prompt": "abz", "AutoTokenizer": AutoTokenizer}) == {"z"}
    characters = "\nabc" if documents == "ending" else "\nabcd"
    assert f"\n{characters!r}\n" in card
    assert ("U+0003" in card) == (documents == "ending")
    assert END not in card


def test_the_card_tells_what_one_has_to_know(run):
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
    model = AutoModelForCausalLM.from_pretrained(run.directory, **changes)
    with torch.no_grad():
        model.transformer.wpe.weight += 0.5
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(run.directory).save_pretrained(directory)
    return model


@pytest.mark.parametrize("documents", ["lines", "stream", "ending"])
def test_what_transformers_saves_is_a_run(tmp_path, documents):
    run = make_run(tmp_path / "run", **KINDS[documents])
    theirs = saved_by_transformers(run, tmp_path / "theirs", resid_pdrop=0.3)
    loaded = load_run(tmp_path / "theirs")
    assert (loaded.config, loaded.vocabulary, loaded.documents) == (run.config, run.vocabulary, run.documents)
    before, after = (AutoTokenizer.from_pretrained(path) for path in (run.directory, tmp_path / "theirs"))
    for name in ("bos_token", "eos_token", "pad_token", "padding_side", "all_special_tokens"):
        assert getattr(after, name) == getattr(before, name)
    assert after("a\nb").input_ids == before("a\nb").input_ids
    assert loaded.checkpoint is None
    tokens = [0, 1, 2, 3]
    with torch.no_grad():
        logits = theirs.double().eval()(torch.tensor([tokens])).logits[0].numpy()
    assert_close(our_logits(loaded, tokens), logits)


def test_a_model_that_was_changed_on_purpose_is_left_alone_and_said(run):
    saved_by_transformers(run, run.directory)
    before = {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()}
    (note,) = restore_model(run.directory, run.checkpoint)
    assert "was changed by another program" in note
    assert f"--init-from {run.directory / 'model.safetensors'}" in note
    assert before == {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()}
    changed = load_run(run.directory / "model.safetensors")
    assert (changed.parameters["wpe.weight"] == run.parameters["wpe.weight"] + np.float32(0.5)).all()
    assert (load_run(run.directory).parameters["wpe.weight"] == run.parameters["wpe.weight"]).all()


def test_buffers_of_older_files_and_a_copy_of_the_head_are_fine(model):
    def add(tensors):
        tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 6, 6), np.float32))
        tensors["h.0.attn.masked_bias"] = np.array(-1e4, np.float32)
        tensors["lm_head.weight"] = tensors["wte.weight"]

    change_tensors(model, add)
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
        ("n_inner", 5),
        ("n_head", 3),
        *((key, size) for key in ("vocab_size", "n_embd", "n_layer") for size in (0, -1, 2.0, True, "4", None, 10**30)),
    ],
)
def test_what_this_gpt_cannot_be_is_named(model, key, value):
    change_json(model, "config.json", **{key: value})
    complaint = refusal(model)
    assert "config.json" in complaint
    assert key in complaint


@pytest.mark.parametrize(("key", "value"), [("n_inner", 16), ("activation_function", "gelu_pytorch_tanh")])
def test_other_words_for_the_same_are_fine(model, key, value):
    change_json(model, "config.json", **{key: value})
    assert load_run(model).config == TINY


VOCAB = {"\n": 0, "a": 1, "b": 2, "c": 3, "d": 4}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": {"type": "BPE", "vocab": VOCAB, "merges": []}}, "no tokenizer of single characters"),
        ({"model": None}, "no tokenizer of single characters"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"ab": 5}}}, "the token 'ab' is not a single character"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"d": 5}}}, "are not 0 to 4"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"d": 3}}}, "are not 0 to 4"),
        ({"model": {"type": "WordLevel", "vocab": VOCAB | {"d": "4"}}}, "is '4', expected an integer"),
        (
            {"model": {"type": "WordLevel", "vocab": {c: i for i, c in enumerate("abcde")}}, "added_tokens": []},
            "a newline",
        ),
        ({"model": {"type": "WordLevel", "vocab": {"\n": 0, "a": 1}}}, "has 2 characters, but vocab_size is 5"),
        ({"normalizer": {"type": "Lowercase"}}, "no tokenizer of single characters"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "no tokenizer of single characters"),
        ({"added_tokens": [{"id": 5, "content": "[PAD]"}]}, "the added token '[PAD]' is no character"),
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
        (lambda t: t.pop("ln_f.bias"), "has 15 tensors, which do not make 1 layers"),
        (lambda t: t.update(extra=np.ones(1, np.float32)), "has 17 tensors"),
        (lambda t: t.update(other=t.pop("ln_f.bias")), "the tensor ln_f.bias is missing"),
        (lambda t: t.update({"ln_f.bias": np.zeros((4, 1), np.float32)}), "ln_f.bias has shape (4, 1)"),
        (lambda t: t.update({"ln_f.bias": np.zeros(4, np.float16)}), "ln_f.bias has dtype F16, expected F32 or F64"),
        (lambda t: t.update({"ln_f.bias": np.zeros(4, np.int32)}), "ln_f.bias has dtype I32"),
        (lambda t: t.update({"ln_f.bias": np.zeros(4, np.float64)}), "of float32 and of float64"),
        (lambda t: t["ln_f.bias"].__setitem__(0, np.nan), "ln_f.bias holds numbers that are not finite"),
        (lambda t: t.update({"lm_head.weight": t["wte.weight"] + 1}), "lm_head.weight differs from wte.weight"),
    ],
)
def test_parameters_that_do_not_fit_are_named(model, change, expected):
    change_tensors(model, change)
    complaint = refusal(model)
    assert "model.safetensors" in complaint
    assert expected in complaint


def test_brain_floats_are_refused(model):
    path = model / "model.safetensors"
    save_torch_file({name: torch.tensor(array).bfloat16() for name, array in load_file(path).items()}, path)
    assert "has dtype BF16, expected F32 or F64" in refusal(model)


@pytest.mark.parametrize("template", [{"single": {"a": 1}}, {"single": 5}, {"single": [5]}, {"single": []}, [], 3])
def test_any_post_processor_that_adds_no_newline_means_prose(model, template):
    change_json(model, "tokenizer.json", post_processor=template)
    assert load_run(model).documents == "stream"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    assert name in refusal(model)


def test_a_model_in_several_files_is_refused(model):
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    (model / "model.safetensors.index.json").touch()
    assert "in several files" in refusal(model)


def test_a_model_of_ours_with_a_flipped_bit_is_refused(model):
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
@given(vocab=st.dictionaries(st.text(max_size=2), st.integers(-1, 6) | any_json, max_size=6))
def test_any_vocabulary_loads_or_is_refused(model, vocab):
    change_json(model, "tokenizer.json", model={"type": "WordLevel", "vocab": vocab})
    loads_or_is_refused(load_run, model)


@quickly
@given(name=st.sampled_from(["config.json", "tokenizer.json", "model.safetensors"]), content=st.binary(max_size=300))
def test_any_bytes_are_refused(model, name, content):
    before = (model / name).read_bytes()
    (model / name).write_bytes(content)
    assert name in refusal(model)
    (model / name).write_bytes(before)


@pytest.mark.parametrize("content", [b"[" * 4_000_000, b"[" * 4_000_001, b'{"a":' * 700_000, b"[{}," * 900_000 + b"1]"])
def test_absurd_json_is_refused_within_bounds(model, content):
    (model / "config.json").write_bytes(content)
    assert "config.json" in refusal(model)


def test_read_model_gives_the_parameters_in_gpt_2s_order(model):
    assert list(read_model(model)[3]) == list(make_checkpoint().named(make_checkpoint().parameters))
