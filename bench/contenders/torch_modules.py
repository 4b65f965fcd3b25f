"""The same GPT-2 made of PyTorch's own modules, as most people write one, with the same parameters."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from bench import models
from bench.measure import Step
from microgpt import GPTConfig
from microgpt.learning.parameters import Arrays


class Attention(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        heads = [part.unflatten(2, (self.n_head, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=2)]
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(config.n_embd), Attention(config)
        self.ln_2, self.mlp = nn.LayerNorm(config.n_embd), MLP(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, config: GPTConfig, parameters: Arrays):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd)
        linear = {f"{name}.weight" for name, module in self.named_modules() if isinstance(module, nn.Linear)}
        ours = {name: torch.tensor(array) for name, array in parameters.items()}
        self.load_state_dict({name: array.T if name in linear else array for name, array in ours.items()})

    def forward(self, tokens, weights):
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        x = self.wte(inputs) + self.wpe(torch.arange(inputs.shape[1]))
        for block in self.h:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (losses * weights.flatten()).sum() / len(tokens)


def step(model: str, batch_size: int, threads: int) -> Step:
    """Return a training step."""
    config, parameters, batch = models.task(model, batch_size)
    torch.set_num_threads(threads)
    gpt = GPT(config, parameters)
    optimizer = torch.optim.Adam(gpt.parameters(), lr=models.LEARNING_RATE, fused=True)
    tokens, weights = (torch.tensor(array) for array in batch)

    def take() -> Any:
        optimizer.zero_grad()
        value = gpt(tokens, weights)
        value.backward()
        optimizer.step()
        return value

    return take
