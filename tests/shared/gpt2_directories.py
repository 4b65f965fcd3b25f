"""Directories of exactly the form in which GPT-2 lies on the Hub, with random weights and tokens of Shakespeare."""

import json
import os
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel

os.environ["HF_HUB_OFFLINE"] = "1"
TEXT = Path(__file__).parents[2] / "data" / "shakespeare.txt"
SHAPE = {"n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2}
TOKENS, END = 400, 399


@cache
def tokenizer(size=TOKENS):
    """Byte pairs of Shakespeare; the end of a text is the last token, as in GPT-2."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder, found.post_processor = decoders.ByteLevel(), processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False)
    found.train_from_iterator([TEXT.read_text()[:200_000]], trainer)
    found.add_special_tokens(["<|endoftext|>"])
    return found


def make(directory, seed=0, scale=4.0, **shape):
    """Make a directory with a model as transformers saves it; return the model of transformers."""
    torch.manual_seed(seed)
    settings = SHAPE | {"vocab_size": TOKENS, "bos_token_id": END, "eos_token_id": END} | shape
    model = GPT2LMHeadModel(GPT2Config(**settings)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight *= scale  # so that the logits differ
            elif name.endswith("bias"):
                weight += 0.02 * torch.randn(weight.shape)
    model.save_pretrained(directory)
    tokenizer().save(str(Path(directory) / "tokenizer.json"))
    return model


def two_files(directory):
    """Put the older form of the tokenizer in the place of tokenizer.json."""
    path = Path(directory) / "tokenizer.json"
    found = json.loads(path.read_text())["model"]
    tokens = found["vocab"] | {"<|endoftext|>": END}
    path.with_name("vocab.json").write_text(json.dumps(tokens))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in found["merges"]]
    path.with_name("merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    path.unlink()


@cache
def shared():
    """One such directory, which no test changes, and its model."""
    directory = Path(mkdtemp()) / "gpt2"
    return directory, make(directory)


def copied(directory):
    """A copy of the shared one in a directory."""
    return Path(shutil.copytree(shared()[0], Path(directory) / "gpt2"))
