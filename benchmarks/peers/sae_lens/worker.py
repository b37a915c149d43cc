"""SAELens' training step on activations: python worker.py CASE _ STEPS; prints JSON on the last line.

Its standard training SAE on the activations that the model gives at the site, with its own trainer's calls:
``training_forward_pass``, backward, clipping, Adam.
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

from sae_lens.saes.sae import TrainStepInput  # noqa: E402
from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig  # noqa: E402

case = json.loads((CASE / "case.json").read_text())
x = load_file(CASE / "activations.safetensors")["x"]
width = x.shape[-1]
cfg = StandardTrainingSAEConfig(d_in=width, d_sae=case["features"], apply_b_dec_to_input=False, l1_coefficient=0.0)
sae = StandardTrainingSAE(cfg)
start = load_file(CASE / "sae.safetensors")
with torch.no_grad():
    for name in ("W_enc", "b_enc", "b_dec", "W_dec"):
        getattr(sae, name).copy_(start[name])
optimizer = torch.optim.Adam(sae.parameters(), lr=case["lr"])
coefficients = {"l1": case["sparsity"] / width}
values = []


def step(index: int) -> float:
    batch = x[index % len(x)].flatten(0, 1)
    given = TrainStepInput(sae_in=batch, coefficients=coefficients, dead_neuron_mask=None, n_training_steps=index,
                           is_logging_step=False)  # fmt: skip
    out = sae.training_forward_pass(step_input=given)
    out.loss.backward()
    torch.nn.utils.clip_grad_norm_(sae.parameters(), 10.0)
    optimizer.step()
    optimizer.zero_grad()
    return out.loss.item()


values.append(step(0))
cpu = time.process_time()
values += [step(i) for i in range(1, STEPS + 1)]
cpu = time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_file({"losses": torch.tensor(values)}, CASE / "theirs.safetensors")
print(json.dumps({"cpu": cpu, "steps": STEPS, "peak_mb": peak / 1024}))
