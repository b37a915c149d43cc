"""The mask applier of the paper's public repository: python worker.py CASE CHECKOUT STEPS; JSON on the last line."""

import json
import re
import sys
import time
from pathlib import Path

import torch

CASE, STEPS = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[3])
sys.path.insert(0, sys.argv[2])
torch.set_num_threads(1)

from factored_representations.masklib import MaskApplier, MaskSpec  # noqa: E402
from transformer_lens import HookedTransformer, HookedTransformerConfig  # noqa: E402

model = HookedTransformer(HookedTransformerConfig(**CASE["cfg"], device="cpu", seed=0))
mask = torch.ones(CASE["cfg"]["d_mlp"])
mask[: -CASE["region"]] = CASE["outside"]
spec = MaskSpec(
    masking_rule=torch.zeros_like,
    layers=list(range(CASE["cfg"]["n_layers"])),
    hook_type="mlp.hook_post",
    mask_lookup=lambda index: mask,
    num_custom_masks=1,
)
applier = MaskApplier(model, [spec])
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
tokens = torch.randint(CASE["cfg"]["d_vocab"], tuple(CASE["shape"]), generator=torch.Generator().manual_seed(0))


def step(routed: bool) -> float:
    started = time.process_time()
    optimizer.zero_grad()
    if routed:
        with applier(tokens):
            loss = model(tokens, return_type="loss")
            loss.backward()
    else:
        model(tokens, return_type="loss").backward()
    optimizer.step()
    return time.process_time() - started


step(False), step(True)
seconds = {"plain": [], "routed": []}
for _ in range(STEPS):
    seconds["plain"].append(step(False))
    seconds["routed"].append(step(True))
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"seconds": seconds, "peak": peak}))
