"""All sender-receiver pairs through Q, K and V: ours against path_patching and TransformerLens, on the same weights.

    python benchmarks/paths.py --peer PEER/bin/python --path-patching PATH/path_patching.py --tl4 TL4/bin/python

Each side runs in a process of its own with one thread, computes the two caches and then every pair, three times over
(Q, K, V), and hands back the last logits of every pair. CPU seconds are compared, not wall-clock, because the machine
may be shared; peak memory is what the matrix adds to the process that has loaded the model and run it once.

At the size of GPT-2 small (``--sizes gpt2``) ours is ``head_to_head`` with the receivers of one head a layer;
path_patching, whose pairs are calls of their own, runs every twentieth of these pairs, and seconds a pair are compared.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

PEERS = Path(__file__).parent / "peers"
SIZES = {
    "2 layers, d=128, T=32": {"n_layers": 2, "d_model": 128, "length": 32},
    "4 layers, d=128, T=32": {"n_layers": 4, "d_model": 128, "length": 32},
    "2 layers, d=512, T=128": {"n_layers": 2, "d_model": 512, "length": 128},
}
HEADS, VOCABULARY, BATCH = 8, 512, 4
GPT2 = {"n_layers": 12, "d_model": 768, "n_heads": 12, "d_head": 64, "d_mlp": 3072, "n_ctx": 15, "d_vocab": 50257}
EVERY, ANSWERS = 20, (3, 5)  # which pairs path_patching runs; the tokens whose logits' difference is compared


def write_case(folder: Path, n_layers: int, d_model: int, length: int) -> None:
    """Random weights under TransformerLens's names, random tokens, and every pair of heads."""
    cfg = {
        "n_layers": n_layers,
        "d_model": d_model,
        "n_heads": HEADS,
        "d_head": d_model // HEADS,
        "d_mlp": 4 * d_model,
        "n_ctx": length,
        "d_vocab": VOCABULARY,
    }
    write_files(folder, cfg, BATCH)
    layers = range(n_layers)
    pairs = [(a, i, b, j) for a in layers for i in range(HEADS) for b in layers[a + 1 :] for j in range(HEADS)]
    (folder / "pairs.json").write_text(json.dumps(pairs))


def write_files(folder: Path, cfg: dict[str, int], batch: int) -> None:
    """Weights, configuration and tokens."""
    from toulmin.subjects import Transformer
    from toulmin.subjects.transformer_lens import _name

    model = Transformer(config_of(cfg), torch.Generator().manual_seed(0))
    state = {_name(name, model.config): p.detach().contiguous() for name, p in model.named_parameters()}
    save_file(state, folder / "weights.safetensors")
    save_file({n: p.detach().contiguous() for n, p in model.named_parameters()}, folder / "ours.safetensors")
    theirs = {**cfg, "act_fn": "gelu_new", "normalization_type": "LN"}
    (folder / "cfg.json").write_text(json.dumps(theirs))
    generator = torch.Generator().manual_seed(1)
    shape = (batch, cfg["n_ctx"])
    tokens = {name: torch.randint(0, cfg["d_vocab"], shape, generator=generator) for name in ("clean", "other")}
    save_file(tokens, folder / "tokens.safetensors")


def config_of(cfg: dict[str, Any]) -> Any:
    from toulmin.subjects import TransformerConfig

    sizes = {name: cfg[name] for name in GPT2}
    return TransformerConfig(**sizes, norm="layer", activation="gelu_tanh")


def load_ours(folder: Path) -> tuple[Any, dict[str, torch.Tensor], int]:
    """The model, the tokens, and the peak memory so far, after one run."""
    from toulmin.subjects import Transformer

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model = Transformer(config_of(json.loads((folder / "cfg.json").read_text())))
    model.load_state_dict(load_file(folder / "ours.safetensors"))
    tokens = load_file(folder / "tokens.safetensors")
    model(tokens["clean"])
    return model.requires_grad_(False), tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def work_gpt2(folder: Path) -> None:
    """Our side at GPT-2 small's size: the effects of the pairs that path_patching runs, and the seconds of all."""
    from toulmin.paths import head_to_head
    from toulmin.tasks import Pair

    model, tokens, before = load_ours(folder)
    right, wrong = ANSWERS
    rows = zip(tokens["clean"].tolist(), tokens["other"].tolist(), strict=True)
    prompts = [
        Pair(tuple(clean), tuple(other), (right,), (wrong,), unit=str(i)) for i, (clean, other) in enumerate(rows)
    ]
    receivers = [f"L{layer}.H0" for layer in range(1, GPT2["n_layers"])]
    start = time.process_time()
    found = head_to_head(model, prompts, "K", receivers=receivers)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    cells = [(found.rows.index(f"L{a}.H{i}"), found.columns.index(f"L{b}.H{j}")) for a, i, b, j in pairs_of(folder)]
    effects = torch.tensor([found.per_pair[:, row, column].tolist() for row, column in cells])
    save_file({"k": effects}, folder / "ours_out.safetensors")
    count = int((~torch.tensor(found.per_pair[0]).isnan()).sum())
    print(json.dumps({"seconds": {"k": seconds}, "peak_mib": peak / 1024, "pairs": count}))


def pairs_of(folder: Path) -> list[tuple[int, int, int, int]]:
    return [tuple(pair) for pair in json.loads((folder / "pairs.json").read_text())]


def compare_gpt2(peer: str, path_patching: str, rounds: int) -> None:
    """Both sides in turn, at GPT-2 small's size."""
    with tempfile.TemporaryDirectory() as made:
        folder, heads, layers = Path(made), range(GPT2["n_heads"]), range(GPT2["n_layers"])
        write_files(folder, GPT2, 8)
        pairs = [(a, i, b, 0) for b in layers for a in layers[:b] for i in heads]
        (folder / "pairs.json").write_text(json.dumps(pairs[EVERY // 2 :: EVERY]))
        (folder / "components").write_text("k")
        worker = str(PEERS / "path_patching" / "worker.py")
        for _ in range(rounds):
            ours = call(sys.executable, __file__, "--work", made, "--sizes", "gpt2")
            theirs = call(peer, worker, made, path_patching)
            a, b = (side["seconds"]["k"] / side["pairs"] for side in (ours, theirs))
            mine, out = load_file(folder / "ours_out.safetensors")["k"], load_file(folder / "peer.safetensors")
            right, wrong = ANSWERS
            logits, clean = out["k"], out["clean"]
            changes = (logits[..., right] - logits[..., wrong]) - (clean[:, right] - clean[:, wrong])
            gap = float((mine - changes).abs().max())
            print(
                f"GPT-2 size, K, batch 8 x 15: toulmin {a:.4f} CPU s a pair ({ours['pairs']} pairs), "
                f"+{ours['peak_mib']:.0f} MiB; path_patching {b:.4f} ({theirs['pairs']} pairs), "
                f"+{theirs['peak_mib']:.0f} MiB; ratio {b / a:.1f}; largest difference of an effect {gap:.1e} "
                f"of {float(changes.abs().max()):.2g}",
                flush=True,
            )


def work(folder: Path) -> None:
    """Our side, in a process of its own."""
    import numpy as np

    from toulmin.patching import Graph, run_circuits, source_values

    model, tokens, before = load_ours(folder)
    out, seconds = {}, {}
    pairs = pairs_of(folder)
    components = (folder / "components").read_text()
    for component in components[0] + components:  # what the first call sets up is not timed, on either side
        start = time.process_time()
        graph = Graph.of(model)
        masks = np.zeros((len(pairs), *graph.allowed.shape), dtype=bool)
        source = {name: index for index, name in enumerate(graph.sources)}
        receiver = {name: index for index, name in enumerate(graph.receivers)}
        for index, (a, i, b, j) in enumerate(pairs):
            masks[index, source[f"L{a}.H{i}"], receiver[f"L{b}.H{j}[{component.upper()}]"]] = True
        clean = source_values(model, tokens["clean"], graph=graph)
        other = source_values(model, tokens["other"], graph=graph).values
        out[component] = run_circuits(
            model,
            tokens["clean"],
            other,
            masks,
            graph=graph,
            clean=clean,
            max_bytes=int(folder.joinpath("bound").read_text()),
        ).contiguous()
        seconds[component] = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    save_file(out, folder / "ours_out.safetensors")
    print(json.dumps({"seconds": seconds, "peak_mib": peak / 1024, "pairs": len(pairs)}))


def call(*command: str) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[:2]} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer")
    parser.add_argument("--path-patching")
    parser.add_argument("--tl4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bound", type=int, default=64 * 2**20, help="our max_bytes")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), help="by name, or gpt2")
    parser.add_argument("--components", default="qkv", help="which inputs, as one word")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.work:
        (work_gpt2 if options.sizes == ["gpt2"] else work)(options.work)
        return
    if options.sizes == ["gpt2"]:
        compare_gpt2(options.peer, options.path_patching, options.rounds)
        return
    for name in options.sizes:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            write_case(folder, **SIZES[name])
            (folder / "bound").write_text(str(options.bound))
            (folder / "components").write_text(options.components)
            ours, peer, mlps, tl = [], [], {}, []
            for _ in range(options.rounds):
                ours.append(call(sys.executable, __file__, "--work", made))
                if options.peer:
                    worker = str(PEERS / "path_patching" / "worker.py")
                    peer.append(call(options.peer, worker, made, options.path_patching))
                if options.tl4:
                    tl.append(call(options.tl4, str(PEERS / "transformer_lens_paths" / "worker.py"), made))
            report(name, folder, ours, peer, tl)
            if options.peer and name == next(iter(SIZES)):
                call(options.peer, worker, made, options.path_patching, "--includes-mlps")
                gaps = gaps_of(folder, "peer.safetensors")
                mlps = {c: f"{gap:.2e}" for c, gap in gaps.items()}
                print(f"  with its default direct_includes_mlps=True (another path set) it differs by up to {mlps}")


def gaps_of(folder: Path, theirs: str) -> dict[str, float]:
    a, b = load_file(folder / "ours_out.safetensors"), load_file(folder / theirs)
    return {c: float((a[c] - b[c]).abs().max()) for c in a.keys() & b.keys()}


def report(name: str, folder: Path, ours: list[dict], peer: list[dict], tl: list[dict]) -> None:
    """The least of the rounds, by side."""
    print(f"{name}: {ours[0]['pairs']} pairs, batch {BATCH}, {HEADS} heads")
    least = {c: min(r["seconds"][c] for r in ours) for c in ours[0]["seconds"]}
    print(f"  toulmin: {fmt(least)}; +{min(r['peak_mib'] for r in ours):.0f} MiB")
    for label, rows, file in (
        ("path_patching", peer, "peer.safetensors"),
        ("TransformerLens 4", tl, "tl4.safetensors"),
    ):
        if rows:
            theirs = {c: min(r["seconds"][c] for r in rows) for c in rows[0]["seconds"]}
            gaps = gaps_of(folder, file)
            ratio = sum(theirs.values()) / sum(least[c] for c in theirs)
            print(
                f"  {label}: {fmt(theirs)}; +{min(r['peak_mib'] for r in rows):.0f} MiB; ratio {ratio:.1f}; "
                f"largest difference of a logit {max(gaps.values()):.2e}"
            )


def fmt(seconds: dict[str, float]) -> str:
    return ", ".join(f"{c.upper()} {s:.3f} s" for c, s in seconds.items())


if __name__ == "__main__":
    main()
