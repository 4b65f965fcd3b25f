"""Train a run further with the Trainer of transformers: python examples/go_on_with_transformers.py runs/names further

Then come back: python train.py --init-from further/model.safetensors
"""

import sys
from pathlib import Path

try:
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
except ImportError:
    print('this needs transformers: pip install -e ".[test]"', file=sys.stderr)
    sys.exit(2)

run, out = sys.argv[1:3]
model, tokenizer = AutoModelForCausalLM.from_pretrained(run), AutoTokenizer.from_pretrained(run)
ids = tokenizer("\n" + (Path(run) / "text.txt").read_text("utf-8")).input_ids  # one integer a character
length = model.config.n_positions
pieces = [ids[i : i + length] for i in range(0, len(ids) - length, length)]
settings = TrainingArguments(f"{out}/trainer", max_steps=100, per_device_train_batch_size=64, save_strategy="no")
trainer = Trainer(model, settings, train_dataset=[{"input_ids": piece, "labels": piece} for piece in pieces])
trainer.train()
print("loss", trainer.evaluate(trainer.train_dataset)["eval_loss"])
model.save_pretrained(out)
tokenizer.save_pretrained(out)
