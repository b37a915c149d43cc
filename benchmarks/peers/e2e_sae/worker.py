"""The reference's training step: python worker.py CASE E2E_SAE_CHECKOUT STEPS; prints JSON on the last line."""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CASE, STEPS = Path(sys.argv[1]), int(sys.argv[3])
sys.path.insert(0, sys.argv[2])
torch.set_num_threads(1)

from e2e_sae.losses import LogitsKLLoss, LossConfigs, OutToInLoss, SparsityLoss, calc_loss  # noqa: E402
from e2e_sae.models.transformers import SAETransformer  # noqa: E402
from transformer_lens import HookedTransformer, HookedTransformerConfig  # noqa: E402

case = json.loads((CASE / "case.json").read_text())
model = HookedTransformer(HookedTransformerConfig(**case["cfg"], device="cpu", seed=0))
model.load_state_dict(load_file(CASE / "weights.safetensors"), strict=False)
position, local = case["hook"], case["mode"] == "local"
sae_model = SAETransformer(model, [position], case["features"] / case["cfg"]["d_model"])
start = load_file(CASE / "sae.safetensors")
sae = sae_model.saes[position.replace(".", "-")]
with torch.no_grad():
    sae.encoder[0].weight.copy_(start["W_enc"].T)
    sae.encoder[0].bias.copy_(start["b_enc"])
    sae.decoder.weight.copy_(start["W_dec"].T)
    sae.decoder.bias.copy_(start["b_dec"])
losses = LossConfigs(
    sparsity=SparsityLoss(coeff=case["sparsity"]),
    in_to_orig=None,
    out_to_orig=None,
    out_to_in=OutToInLoss(coeff=1.0 if local else 0.0),
    logits_kl=None if local else LogitsKLLoss(coeff=1.0),
)
layer = int(position.split(".")[1]) + 1 if local else None
optimizer = torch.optim.Adam(sae_model.saes.parameters(), lr=case["lr"])
tokens = load_file(CASE / "tokens.safetensors")["tokens"]
values = []


def step(index: int) -> float:
    batch = tokens[index % len(tokens)]
    logits, acts = sae_model.forward_raw(
        tokens=batch, run_entire_model=not local, final_layer=layer, cache_positions=None
    )
    new_logits, new_acts = sae_model.forward(
        tokens=batch, sae_positions=[position], cache_positions=None, orig_acts=acts if local else None
    )
    loss, _ = calc_loss(
        orig_acts=acts,
        new_acts=new_acts,
        orig_logits=None if new_logits is None else logits.detach().clone(),
        new_logits=new_logits,
        loss_configs=losses,
        is_log_step=False,
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(sae_model.saes.parameters(), 10.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


values.append(step(0))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cpu = time.process_time()
values += [step(i) for i in range(1, STEPS + 1)]
cpu = time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_file({"losses": torch.tensor(values)}, CASE / "theirs.safetensors")
print(json.dumps({"cpu": cpu, "steps": STEPS, "peak_mb": peak / 1024, "first_step_mb": before / 1024}))
