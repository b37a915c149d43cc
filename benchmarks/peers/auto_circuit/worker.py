"""AutoCircuit 1.0.1 on the benchmark's model: python worker.py FOLDER JOB OUT.

FOLDER holds what benchmarks/circuits.py wrote. Prints one JSON line of CPU seconds and peak memory; results go to OUT.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from auto_circuit.data import PromptPairBatch
from auto_circuit.prune import run_circuits
from auto_circuit.prune_algos.ACDC import acdc_prune_scores
from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores
from auto_circuit.types import PatchType
from auto_circuit.utils.graph_utils import patchable_model
from safetensors.torch import load_file, save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig


def peak_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def resident_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def main() -> None:
    torch.set_num_threads(1)
    folder, job, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    settings = json.loads((folder / "settings.json").read_text())
    config = HookedTransformerConfig(
        **settings["cfg"], use_attn_result=True, use_split_qkv_input=True, use_hook_mlp_in=True, seed=0
    )
    hooked = HookedTransformer(config)
    hooked.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    hooked.requires_grad_(False)
    model = patchable_model(hooked, factorized=True, slice_output="last_seq", separate_qkv=True)
    data = load_file(folder / "batch.safetensors")
    loader = [PromptPairBatch(0, 0, data["clean"], data["corrupt"], data["answers"], data["wrong"])]
    by_name = {edge.name: edge for edge in model.edges}
    pruned = model.new_prune_scores()
    ranking = settings["eap_ranking" if job.endswith("_eap") else "ranking"]
    for rank, name in enumerate(ranking):
        edge = by_name[name]
        pruned[edge.dest.module_name][edge.patch_idx] = float(len(ranking) - rank)

    def run() -> dict[str, torch.Tensor]:
        if job == "eap":
            scores = mask_gradient_prune_scores(model, loader, None, "logit", "avg_diff", mask_val=0.0)
            names = settings["edges"]
            values = [scores[by_name[n].dest.module_name][by_name[n].patch_idx] for n in names]
            return {"scores": torch.stack(values)}
        if job == "acdc":
            # the library visits edges in the order of a set of hashes: impose the benchmark's
            model.edges = [by_name[name] for name in settings["order"]]
            tau = settings["tau"]
            exponent = round(torch.log10(torch.tensor(tau)).item())
            scores = acdc_prune_scores(model, loader, None, tao_exps=[exponent], tao_bases=[1])
            kept = [torch.isinf(scores[by_name[n].dest.module_name][by_name[n].patch_idx]) for n in settings["edges"]]
            return {"kept": torch.stack(kept)}
        sizes = settings["sizes"] if job.startswith("sweep") else [settings["size"]]
        patch = PatchType.EDGE_PATCH if job == "patch" else PatchType.TREE_PATCH
        outs = run_circuits(model, loader, sizes, pruned, patch)
        return {"logits": torch.stack([outs[size][0] for size in sizes])}

    times = []
    base = resident_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(settings["repeats"][job]):
        model.zero_grad(set_to_none=True)
        start = os.times()
        result = run()
        end = os.times()
        times.append((end.user - start.user, end.system - start.system))
    report = {"cpu": times, "base": base, "peak": peak_bytes()}
    save_file({name: value.contiguous() for name, value in result.items()}, out)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
