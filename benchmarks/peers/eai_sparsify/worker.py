"""eai-sparsify's end-to-end step with loss_fn="kl": python worker.py CASE _ STEPS; prints JSON on the last line.

A GPT-2 of the case's shape (transformers, random weights: its embeddings are tied) with its SparseCoder at the output
of the layer before the site. The step is that of its trainer: clean probabilities, a pass with the hook, cross-entropy
to them, backward, and an Adam update.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CASE, STEPS = Path(sys.argv[1]), int(sys.argv[3])
torch.set_num_threads(1)

from sparsify import SparseCoder, SparseCoderConfig  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel  # noqa: E402

case = json.loads((CASE / "case.json").read_text())
cfg = case["cfg"]
shape = GPT2Config(
    vocab_size=cfg["d_vocab"], n_positions=cfg["n_ctx"], n_embd=cfg["d_model"], n_layer=cfg["n_layers"],
    n_head=cfg["n_heads"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
)  # fmt: skip
model = GPT2LMHeadModel(shape).eval()
model.requires_grad_(False)
sae = SparseCoder(cfg["d_model"], SparseCoderConfig(k=32, num_latents=case["features"]))
start = load_file(CASE / "sae.safetensors")
with torch.no_grad():
    sae.encoder.weight.copy_(start["W_enc"].T)
    sae.encoder.bias.copy_(start["b_enc"])
    sae.W_dec.copy_(start["W_dec"])
    sae.b_dec.copy_(start["b_dec"])
optimizer = torch.optim.Adam(sae.parameters(), lr=case["lr"])
tokens = load_file(CASE / "tokens.safetensors")["tokens"]
block = model.transformer.h[int(case["hook"].split(".")[1]) - 1]


def hook(_module, _inputs, outputs):
    value = outputs[0] if isinstance(outputs, tuple) else outputs
    flat = value.flatten(0, 1)
    out = sae(x=flat, y=flat).sae_out.view_as(value)
    return (out, *outputs[1:]) if isinstance(outputs, tuple) else out


def step(index: int) -> float:
    x = tokens[index % len(tokens)]
    clean = model(x).logits.softmax(dim=-1)
    handle = block.register_forward_hook(hook)
    try:
        logs = model(x).logits.log_softmax(dim=-1)
        loss = -torch.sum(clean * logs, dim=-1).mean()
        loss.backward()
    finally:
        handle.remove()
    sae.remove_gradient_parallel_to_decoder_directions()
    optimizer.step()
    optimizer.zero_grad()
    sae.set_decoder_norm_to_unit_norm()
    return loss.item()


values = [step(0)]
cpu = time.process_time()
values += [step(i) for i in range(1, STEPS + 1)]
cpu = time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_file({"losses": torch.tensor(values)}, CASE / "theirs.safetensors")
print(json.dumps({"cpu": cpu, "steps": STEPS, "peak_mb": peak / 1024}))
