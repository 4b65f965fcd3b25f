"""The programs that are compared: a file for each, with functions that return a step.

engines.py            microgpt on its engines
train_loop.py         the loop of train.py around its steps
torch_gpt.py          PyTorch's own modules
torch_transformer.py  the transformer of three of bench/programs
jax_gpt.py            JAX
c.py                  C written by hand: by_hand.c
textbook_value.py     scalars as textbooks write them
peak.py               only multiply-adds, as many as the processor can do
"""
