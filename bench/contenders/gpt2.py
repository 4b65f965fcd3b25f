"""GPT-2 at OpenAI's smallest size, with random weights: by microgpt, and by transformers."""

from typing import Any

import numpy as np

from bench import models
from bench.contenders.engines import step_of
from bench.measure import Step
from microgpt import GPTConfig, initial_parameters
from microgpt.learning.layers import Reader

CONFIG = GPTConfig(50257, 1024, 768, 12, 12)
PROMPT, WRITTEN, CONTEXT = 8, 32, 128  # tokens


def tokens(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, CONFIG.vocab_size, count)


def writing() -> Step:
    """Return a step that reads a prompt, and writes the likeliest tokens after it."""
    reader, prompt = Reader(CONFIG, initial_parameters(CONFIG, 0)), tokens(PROMPT).tolist()

    def step() -> list[int]:
        reader.forget()
        written, new = [], prompt
        for _ in range(WRITTEN):
            new = [int(reader.logits(reader.read(new)[-1:])[0].argmax())]
            written += new
        return written

    return step


def training(threads: int) -> Step:
    """Return a training step on one window of tokens."""
    batch = tokens(CONTEXT + 1)[None], np.full((1, CONTEXT), 1 / CONTEXT, np.float32)
    return step_of(CONFIG, initial_parameters(CONFIG, 0), batch, "compiled", threads)


def by_transformers(threads: int) -> Any:
    """The same model in transformers, without dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(threads)
    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
    ours = {f"transformer.{name}": torch.tensor(array) for name, array in initial_parameters(CONFIG, 0).items()}
    model.load_state_dict(ours, strict=False)  # the head is tied to the embedding
    return model


def writing_by_transformers(threads: int) -> Step:
    """Return a step that writes as many tokens with `generate`, and its cache."""
    import torch

    model, prompt = by_transformers(threads).eval(), torch.tensor(tokens(PROMPT))[None]
    options = {"min_new_tokens": WRITTEN, "max_new_tokens": WRITTEN, "do_sample": False, "pad_token_id": 0}
    return lambda: model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)


def training_by_transformers(threads: int) -> Step:
    """Return a training step on the same window, run eagerly, with PyTorch's own Adam."""
    import torch

    model, window = by_transformers(threads).train(), torch.tensor(tokens(CONTEXT + 1))[None]
    optimizer = torch.optim.Adam(model.parameters(), lr=models.LEARNING_RATE, fused=True)

    def step() -> Any:
        optimizer.zero_grad()
        loss = model(window[:, :-1]).logits[0]
        loss = torch.nn.functional.cross_entropy(loss, window[0, 1:])
        loss.backward()
        optimizer.step()
        return loss

    return step
