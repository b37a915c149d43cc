"""Times TransformerLens on given weights; runs in an environment of its own (requirements.txt beside this file).

    python worker.py WEIGHTS.safetensors CFG.json TOKENS.safetensors OUT.safetensors REPEATS

Prints one JSON line: CPU seconds of every repeat, by case and shape. OUT gets the logits of each shape.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

FLAGS = ("use_split_qkv_input", "use_attn_result", "use_hook_mlp_in")


def main() -> None:
    weights, cfg, tokens, out, repeats = sys.argv[1:]
    torch.set_num_threads(1)
    model = HookedTransformer(HookedTransformerConfig(**json.loads(Path(cfg).read_text())))
    missing, unexpected = model.load_state_dict(load_file(weights), strict=False)
    if unexpected or any(not name.endswith(("mask", "IGNORE")) for name in missing):
        sys.exit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    model.eval()
    times: dict[str, dict[str, list[float]]] = {}
    logits: dict[str, torch.Tensor] = {}
    cases = {
        "forward": (False, model),
        "forward, split QKV": (True, model),
        "run_with_cache, split QKV": (True, lambda t: model.run_with_cache(t)[0]),
    }
    with torch.no_grad():
        for shape, batch in load_file(tokens).items():
            for case, (split, call) in cases.items():
                for flag in FLAGS:
                    setattr(model.cfg, flag, split)
                logits[shape] = call(batch).contiguous()
                for _ in range(int(repeats)):
                    start = time.process_time()
                    call(batch)
                    times.setdefault(case, {}).setdefault(shape, []).append(time.process_time() - start)
    save_file(logits, out)
    versions = {name: version(name) for name in ("transformer-lens", "torch", "numpy")}
    print(json.dumps({"versions": versions, "times": times}))


if __name__ == "__main__":
    main()
