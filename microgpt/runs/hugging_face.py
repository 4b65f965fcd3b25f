"""A run directory as a Hugging Face model, and such a model as a run.

    from transformers import pipeline
    pipeline("text-generation", "runs/names")("ann")

Five files make a directory such a model, and all are made from a checkpoint:

    config.json             the shape of the model
    model.safetensors       the parameters, by GPT-2's names
    tokenizer.json          the tokenizer, whose tokens are characters
    tokenizer_config.json   how to use it
    generation_config.json  how to write with the model

For lines, the newline is a special token: it stands before every prompt, and writing ends at the next one. For prose,
the newline is an ordinary character, and the special token is END, the end of the text. Writing ends there. Shorter
prompts of a batch are padded with END on the left. No text may contain END, because transformers removes padding tokens
from decoded text. Older runs of prose have no END, and take one prompt at a time.

For an unknown character the library `tokenizers` raises "Missing [UNK] token from the vocabulary". No file can change
these words, so the model's README.md explains them.
"""

import json
import os
import re
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from microgpt.errors import InputError
from microgpt.gpt import GPTConfig
from microgpt.learning.byte_pairs import BytePairs, from_two_files
from microgpt.learning.model_file import ModelFile
from microgpt.learning.parameters import Arrays, shapes_of
from microgpt.learning.text import BOUNDARY, Vocabulary, closing, end_of
from microgpt.runs.checkpoint import (
    Checkpoint,
    Entries,
    RunInfo,
    check_config,
    check_vocabulary,
    checksum,
    opened,
    serialized,
)
from microgpt.runs.files import LARGEST_JSON, quoted, read_bytes, read_json, replace, to_json, write_file
from microgpt.runs.model_card import model_card
from microgpt.runs.stored_weights import INDEX, MODEL, read_gpt, read_weights, stored_tensors

CARD = "README.md"

VOCAB = "vocab.json"  # with merges.txt it is an older form of tokenizer.json

# The values in GPT-2's config.json that mean the model of gpt.py. A missing key has the first value. Dropout is not
# listed, because it only changes training.
REQUIRED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),  # two names of one function
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}
BUFFERS = re.compile(r"h\.\d+\.attn\.(masked_)?bias")  # the causal mask, which older files store like parameters


def _begin_and_end(origin: RunInfo) -> tuple[int, int | None]:
    """Return the token that begins a text, the newline where tokens are characters, and the one that ends it, if any.

    Byte pairs have one for both.
    """
    end = end_of(origin.vocabulary, origin.documents)
    return (end or 0) if isinstance(origin.vocabulary, BytePairs) else origin.vocabulary.index(BOUNDARY), end


def _config_json(origin: RunInfo) -> dict[str, Any]:
    """Return the shape of the model in the words of its format."""
    newline, end = _begin_and_end(origin)
    if origin.model is not None:
        return {**(origin.model.hugging_face or {}), "bos_token_id": newline, "eos_token_id": end}
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **asdict(origin.config),
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "tie_word_embeddings": True,
        "bos_token_id": newline,
        "eos_token_id": end,
    }


def _tokenizer_json(origin: RunInfo) -> dict[str, Any]:
    """Return a tokenizer for the library `tokenizers`. Its tokens are the characters, and it normalises nothing."""
    newline, end = _begin_and_end(origin)
    lines = origin.documents == "lines"
    special = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
    begins = {"SpecialToken": {"id": BOUNDARY, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [] if end is None else [{"id": end, "content": origin.vocabulary[end], **special}],
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begins, first],
            "pair": [begins, first, begins, second],
            "special_tokens": {BOUNDARY: {"id": BOUNDARY, "ids": [newline], "tokens": [BOUNDARY]}},
        }
        if lines
        else None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {character: i for i, character in enumerate(origin.vocabulary)},
            "unk_token": "<unknown>",  # not in the vocabulary: an unknown character is an error
        },
    }


# Every character by itself, those that `.` does not match included.
PRE_TOKENIZER = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}


def _tokenizer_config_json(origin: RunInfo) -> dict[str, Any]:
    """Return the settings with which transformers uses the tokenizer."""
    end = closing(origin.vocabulary, origin.documents)
    begin = {"bos_token": BOUNDARY} if origin.documents == "lines" else {}
    if isinstance(origin.vocabulary, BytePairs) and end is not None:
        begin = {"bos_token": end, "unk_token": end}
    special = {} if end is None else {**begin, "eos_token": end, "pad_token": end, "padding_side": "left"}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": origin.config.n_positions,
        "clean_up_tokenization_spaces": False,
        **special,
    }


def _generation_config_json(origin: RunInfo) -> dict[str, Any]:
    """Return the settings for writing: draw from the model's probabilities, until the end or the context is full."""
    newline, end = _begin_and_end(origin)
    return {
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
        "max_length": origin.config.n_positions + 1,  # the last character needs no position of its own
        "bos_token_id": newline,
        "eos_token_id": end,
        "pad_token_id": newline if end is None else end,
    }


def _json_files(origin: RunInfo) -> dict[str, bytes]:
    """Return the JSON files of a model by name: none if no other program knows such a model."""
    if origin.model is not None and origin.model.hugging_face is None:
        return {}
    pairs = origin.vocabulary.content.encode() if isinstance(origin.vocabulary, BytePairs) else None
    return {
        "config.json": to_json(_config_json(origin)),
        "tokenizer.json": pairs or to_json(_tokenizer_json(origin)),
        "tokenizer_config.json": to_json(_tokenizer_config_json(origin)),
        "generation_config.json": to_json(_generation_config_json(origin)),
    }


def write_model(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into a run directory as a Hugging Face model. Raises OSError if a file cannot be written.

    A model.safetensors that another program wrote or that is damaged is kept under another name.
    """
    for name, content in _json_files(checkpoint.origin).items():
        if not _holds(directory / name, content):
            write_file(directory / name, content)
    tensors = checkpoint.named(checkpoint.model.parameters)
    metadata = {"format": "pt", "sha256": checksum(tensors)}  # transformers needs the first
    if state_of_model(directory, checkpoint) in ("changed", "damaged"):
        n = next(n for n in count(1) if not os.path.lexists(directory / f"{MODEL}.old-{n}"))
        replace(directory / MODEL, directory / f"{MODEL}.old-{n}")
    write_file(directory / MODEL, serialized(tensors, metadata))
    write_file(directory / CARD, model_card(checkpoint, directory).encode("utf-8", "replace"))


def restore_model(directory: Path, checkpoint: Checkpoint) -> list[str]:
    """Rewrite the model files that do not match the checkpoint; return a line for each reason.

    If another program wrote model.safetensors, no file is changed.
    """
    if state_of_model(directory, checkpoint) == "changed":
        return [
            f"{directory / MODEL} was changed by another program; this uses step {checkpoint.model.step} of the "
            f"checkpoint. To use the changed one: python sample.py --run {quoted(directory / MODEL)}, "
            f"or python train.py --init-from {quoted(directory / MODEL)}"
        ]
    wrong = wrong_files(directory, checkpoint)
    if not wrong:
        return []
    kept = " (the one that was there is kept as .old)" if state_of_model(directory, checkpoint) == "damaged" else ""
    try:
        write_model(directory, checkpoint)
    except OSError as error:
        return [f"{', '.join(wrong)} in {directory} should be rewritten from the checkpoint, but {error.strerror}"]
    return [f"rewrote {', '.join(wrong)} from the checkpoint in {directory}{kept}"]


def wrong_files(directory: Path, checkpoint: Checkpoint) -> list[str]:
    """Return the names of the model files that do not match the checkpoint."""
    wrong = [name for name, content in _json_files(checkpoint.origin).items() if not _holds(directory / name, content)]
    wrong += [] if state_of_model(directory, checkpoint) == "matches" else [MODEL]
    return wrong + ([] if (directory / CARD).is_file() else [CARD])


def state_of_model(directory: Path, checkpoint: Checkpoint) -> str:
    """Return the state of model.safetensors.

    It is "missing", "changed" by another program (which leaves no checksum of ours), "damaged" (the checksum does not
    fit), "stale" (from an earlier checkpoint), or "matches".
    """
    path = directory / MODEL
    if (directory / INDEX).exists():  # transformers saved it in several files
        return "changed"
    if not os.path.lexists(path):
        return "missing"
    try:
        with opened(path) as file:
            ours = (file.metadata() or {}).get("sha256")
            if ours is None:
                return "changed"
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except InputError:
        return "damaged"
    if ours != checksum(tensors):
        return "damaged"
    return "matches" if ours == checksum(checkpoint.named(checkpoint.model.parameters)) else "stale"


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file has exactly this content."""
    try:
        return read_bytes(path, len(content)) == content
    except InputError:
        return False


def read_model(directory: Path, own: ModelFile | None = None) -> tuple[Any, Vocabulary, str, Arrays]:
    """Return the shape, the vocabulary, the kind of documents and the parameters of a Hugging Face model.

    It is a GPT-2, or what a file of the user's defines: one with byte pairs, such as OpenAI's own, or a character-level
    one with a tokenizer like ours. Raises InputError, in one line that names the file and the fault, for any other.
    """
    path = directory / "config.json"
    content = read_json(path)
    config = _read_config(path, content) if own is None else own.config_from(content, str(path))
    end = content.get("eos_token_id")
    if isinstance(end, list):
        if len(end) > 1:
            raise InputError(f"{path}: eos_token_id is {end!r:.80}, but this GPT ends a text with one token")
        end = end[0] if end else None
    end = end if type(end) is int and 0 <= end < config.vocab_size else None
    vocabulary, documents = _read_tokenizer(directory / "tokenizer.json", config.vocab_size, end)
    if own is None:
        return config, vocabulary, documents, read_gpt(directory, config, BUFFERS.fullmatch)
    stored, checksums = stored_tensors(directory)
    shapes = shapes_of(own.initial_parameters(config, 0))
    if further := sorted(set(stored) - set(shapes)):
        raise InputError(f"{directory / MODEL}: {own.path} has no parameter {further[0]}, which is there")
    return config, vocabulary, documents, read_weights(directory / MODEL, shapes, stored, checksums)


def _read_config(path: Path, content: dict[str, Any]) -> GPTConfig:
    """Return the shape of the model in a config.json. Raises InputError if this GPT cannot have it."""
    for key, accepted in REQUIRED.items():
        found = content.get(key, None if key == "model_type" else accepted[0])
        if found not in accepted or isinstance(found, bool) != isinstance(accepted[0], bool):
            other = "; for another model, name its file with --model" if key == "model_type" else ""
            raise InputError(f"{path}: {key} is {found!r:.80}, but this GPT needs {accepted[0]!r}{other}")
    entry = Entries(path, content)
    config = GPTConfig(**{key: entry(key, int) for key in GPTConfig.__dataclass_fields__})
    check_config(config, path)
    inner = content.get("n_inner")
    if inner is not None and inner != 4 * config.n_embd:
        raise InputError(f"{path}: n_inner is {inner!r:.80}, but this GPT needs {4 * config.n_embd}")
    return config


def _read_tokenizer(path: Path, vocab_size: int, end: int | None) -> tuple[Vocabulary, str]:
    """Return the vocabulary and the kind of documents.

    Raises InputError if the tokens are neither characters nor byte pairs.
    """
    if not path.exists() and path.with_name(VOCAB).exists():
        return _read_two_files(path.with_name(VOCAB), vocab_size, end), "stream"
    if not path.exists():
        raise InputError(f"{path} is missing: save the tokenizer beside the model, tokenizer.save_pretrained(...)")
    content = read_json(path)
    model = content.get("model")
    if isinstance(model, dict) and model.get("type") == "BPE":
        compact = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return BytePairs(compact, vocab_size, end).checked(str(path)), "stream"
    tokens = model.get("vocab") if isinstance(model, dict) and model.get("type") == "WordLevel" else None
    if not isinstance(tokens, dict) or content.get("pre_tokenizer") != PRE_TOKENIZER or content.get("normalizer"):
        raise InputError(f"{path}: its tokens are not single characters, which this GPT needs")
    for token, number in tokens.items():
        if len(token) != 1:
            raise InputError(f"{path}: the token {token!r:.80} is not a single character")
        if type(number) is not int:
            raise InputError(f"{path}: the number of the token {token!r} is {number!r:.80}, expected an integer")
    added = content.get("added_tokens") or []
    for token in added if isinstance(added, list) else [added]:
        text = token.get("content") if isinstance(token, dict) else token
        if not isinstance(text, str) or text not in tokens:
            raise InputError(f"{path}: the added token {text!r:.80} is not in the vocabulary")
    if sorted(tokens.values()) != list(range(len(tokens))):
        raise InputError(f"{path}: the numbers of the {len(tokens)} tokens are not 0 to {len(tokens) - 1}, each once")
    vocabulary = "".join(sorted(tokens, key=lambda token: tokens[token]))
    check_vocabulary(vocabulary, vocab_size, path)
    return vocabulary, "lines" if _begins_with_newline(content.get("post_processor")) else "stream"


def _read_two_files(path: Path, vocab_size: int, end: int | None) -> BytePairs:
    """Return the vocabulary of a vocab.json and the merges.txt beside it."""
    tokens, merges = read_json(path), path.with_name("merges.txt")
    if not all(type(number) is int for number in tokens.values()):
        raise InputError(f"{path}: expected a number for each token")
    try:
        text = read_bytes(merges, LARGEST_JSON).decode()
        return BytePairs(from_two_files(tokens, text), vocab_size, end).checked(str(path))
    except InputError:
        raise
    except Exception as error:  # the library's own have no common class
        raise InputError(f"{merges} does not fit {path}: {' '.join(str(error).split())}") from None


def _begins_with_newline(post_processor: Any) -> bool:
    """Return whether a tokenizer puts a newline before every text."""
    template = post_processor.get("single") if isinstance(post_processor, dict) else None
    begins = template[0] if isinstance(template, list) and template else None
    first = begins.get("SpecialToken") if isinstance(begins, dict) else None
    return isinstance(first, dict) and first.get("id") == BOUNDARY
