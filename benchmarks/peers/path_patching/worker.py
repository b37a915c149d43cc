"""Times callummcdougall's path_patching on all sender-receiver pairs; runs in an environment of its own.

    python worker.py FOLDER PATH/TO/path_patching.py [--includes-mlps]

FOLDER has cfg.json, weights.safetensors, tokens.safetensors and pairs.json. Writes peer.safetensors (last logits of
every pair of heads in pairs.json, by component, and of the clean run) and prints one JSON line: CPU seconds by
component, peak memory over the loaded model's.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig


def main() -> None:
    folder, source = Path(sys.argv[1]), sys.argv[2]
    spec = importlib.util.spec_from_file_location("path_patching", source)
    module = importlib.util.module_from_spec(spec)
    sys.modules["path_patching"] = module
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    cfg = HookedTransformerConfig(**json.loads((folder / "cfg.json").read_text()))
    model = HookedTransformer(cfg)
    model.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    model.set_use_split_qkv_input(True)
    tokens = load_file(folder / "tokens.safetensors")
    torch.set_grad_enabled(False)
    model(tokens["clean"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = json.loads((folder / "pairs.json").read_text())

    def run(component: str, a: int, i: int, b: int, j: int) -> torch.Tensor:
        return module.path_patch(
            model,
            tokens["clean"],
            new_input=tokens["other"],
            sender_nodes=module.Node("z", layer=a, head=i),
            receiver_nodes=module.Node(component, layer=b, head=j),
            patching_metric=lambda logits: logits[:, -1].clone(),
            orig_cache=clean,
            new_cache=other,
            direct_includes_mlps="--includes-mlps" in sys.argv,
        )

    out, seconds = {}, {}
    clean = other = None
    run("k", *pairs[0])  # what the first call sets up is not timed, on either side
    for component in (folder / "components").read_text():
        start = time.process_time()
        logits, clean = model.run_with_cache(tokens["clean"])
        _, other = model.run_with_cache(tokens["other"], return_type=None)
        rows = [run(component, *pair) for pair in pairs]
        seconds[component] = time.process_time() - start
        out[component] = torch.stack(rows)
        out["clean"] = logits[:, -1].clone()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    save_file(out, folder / "peer.safetensors")
    print(json.dumps({"seconds": seconds, "peak_mib": peak / 1024, "pairs": len(pairs)}))


if __name__ == "__main__":
    main()
