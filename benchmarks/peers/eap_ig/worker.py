"""EAP-IG on the benchmark's model: python worker.py FOLDER JOB OUT CHECKOUT.

CHECKOUT is a clone of github.com/hannamw/EAP-IG. It tokenizes text and places its tensors on CUDA: both are replaced
here, so that it reads the benchmark's tokens and runs on the CPU; its own code is not touched.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

_REAL_ZEROS = torch.zeros


def _zeros_on_cpu(*shape: Any, **settings: Any) -> torch.Tensor:
    settings.pop("device", None)
    return _REAL_ZEROS(*shape, **settings)


def status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def main() -> None:
    torch.set_num_threads(1)
    folder, job, out, checkout = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    sys.path.insert(0, str(checkout / "src"))
    torch.zeros = _zeros_on_cpu  # type: ignore[assignment]
    import eap.attribute
    import eap.evaluate
    from eap.graph import Graph

    settings = json.loads((folder / "settings.json").read_text())
    config = HookedTransformerConfig(
        **settings["cfg"],
        use_attn_result=True,
        use_split_qkv_input=True,
        use_hook_mlp_in=True,
        ungroup_grouped_query_attention=False,
        seed=0,
    )
    model = HookedTransformer(config)
    model.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    model.requires_grad_(False)  # EAP needs no gradient of a parameter, only those of hooks
    model.pos_embed.W_pos.requires_grad_(True)  # small, and every activation depends on it: a backward pass needs one
    data = load_file(folder / "batch.safetensors")

    def tokens_as_they_are(_: Any, tokens: torch.Tensor, *rest: Any) -> tuple[Any, ...]:
        return tokens, None, torch.full((len(tokens),), tokens.shape[1]), tokens.shape[1]

    eap.attribute.tokenize_plus = eap.evaluate.tokenize_plus = tokens_as_they_are

    def metric(logits: torch.Tensor, clean_logits: Any, lengths: Any, label: Any) -> torch.Tensor:
        last = logits[:, -1]
        return (last.gather(-1, data["answers"]) - last.gather(-1, data["wrong"])).sum()

    def last_logits(logits: torch.Tensor, clean_logits: Any, lengths: Any, label: Any) -> torch.Tensor:
        return logits[:, -1]

    loader = [(data["clean"], data["corrupt"], None)]
    theirs = {"Resid Start": "input", "Resid End": "logits"}

    def node(name: str) -> str:
        if name.startswith("A"):
            layer, head, *slot = name[1:].split(".")
            return f"a{layer}.h{head}" + (f"<{slot[0].lower()}>" if slot else "")
        return theirs.get(name) or f"m{name.split()[1]}"

    names = {name: "->".join(node(part) for part in name.split("->")) for name in settings["edges"]}

    def run() -> dict[str, torch.Tensor]:
        graph = Graph.from_model(model)
        if job == "eap":
            graph.scores[:] = eap.attribute.get_scores_eap(model, graph, loader, metric, quiet=True)
        elif job == "eap_ig":
            steps = settings["steps"]
            graph.scores[:] = eap.attribute.get_scores_eap_ig(model, graph, loader, metric, steps=steps, quiet=True)
        if job in ("eap", "eap_ig"):
            return {"scores": torch.stack([graph.edges[name].score.detach().clone() for name in names.values()])}
        found = []
        for size in settings["sizes"] if job.startswith("sweep") else [settings["size"]]:
            graph.reset(empty=True)
            for name in settings["eap_ranking" if job.endswith("_eap") else "ranking"][:size]:
                edge = graph.edges[names[name]]
                edge.in_graph = True
                edge.parent.in_graph = True
                if edge.child.name != "logits":
                    edge.child.in_graph = True
            logits = eap.evaluate.evaluate_graph(model, graph, loader, last_logits, quiet=True)
            found.append(logits.detach().clone())
        return {"logits": torch.stack(found)}

    times = []
    base = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(settings["repeats"][job]):
        model.zero_grad(set_to_none=True)
        start = os.times()
        result = run()
        end = os.times()
        times.append((end.user - start.user, end.system - start.system))
    report = {"cpu": times, "base": base, "peak": status("VmHWM")}
    save_file({name: value.contiguous() for name, value in result.items()}, out)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
