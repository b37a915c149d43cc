"""Circuits against auto-circuit 1.0.1 and EAP-IG: CPU time, peak memory, and equality of the results.

    python benchmarks/circuits.py --peer PATH/bin/python [--eap-ig CHECKOUT] [--folder DIR] [--cells eap,patch,...]
        [--rounds 2] [--keep-memory]

One thread, the same random weights and inputs in every process. Each cell runs in a process of its own, the libraries
in turn in every round; seconds are user and system CPU time of the operation alone (model loaded, caches cold), of the
repeat with the least sum; memory is the peak resident size above the loaded model's. With ``--keep-memory`` the C
library is told, for every process alike, to keep what is freed (glibc): large arrays then cost no page faults on their
second use. EAP-IG's model has its parameters frozen. GPT-2-small-sized (12 layers, 12 heads, d=768, 50,257 tokens),
batch 8 x 15 tokens: EAP over all edges; EAP-IG; 200 random edges patched; a 200-edge circuit with the complement
ablated and 20 circuit sizes, both for a random ranking and for EAP's. ACDC at tau 1e-3 on 4 layers, 8 heads, d=256,
with the same order of edges imposed on both. Ours runs circuits within 256 MiB of activations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from toulmin.circuits import Acdc, Circuit, CircuitRunner, Eap, EapIg, Methodology
from toulmin.circuits.edges import parse_edge, removal_order
from toulmin.circuits.formats import from_autocircuit_name, to_autocircuit_name
from toulmin.patching import Graph
from toulmin.subjects import Transformer, TransformerConfig, from_transformer_lens
from toulmin.tasks import Pair

HERE = Path(__file__).parent
CELLS = {
    "eap": ("gpt2", "EAP, all 32,491 edges"),
    "eap_ig": ("gpt2", "EAP-IG inputs, 5 steps, all edges"),
    "patch": ("gpt2", "200 random edges patched"),
    "circuit": ("gpt2", "200-edge circuit, complement ablated"),
    "circuit_eap": ("gpt2", "200-edge circuit of EAP's ranking, complement ablated"),
    "sweep": ("gpt2", "20 circuit sizes"),
    "sweep_eap": ("gpt2", "20 circuit sizes of EAP's ranking"),
    "acdc": ("small", "ACDC, tau 1e-3"),
}
BOTH = {"eap", "circuit", "circuit_eap", "sweep", "sweep_eap"}
PEERS = {"auto_circuit": {*BOTH, "patch", "acdc"}, "eap_ig": {*BOTH, "eap_ig"}}
#: mallopt(3): no block is mapped by itself, and free memory at the top of the heap is not given back
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
SHAPES = {
    "gpt2": {"n_layers": 12, "n_heads": 12, "d_model": 768, "d_head": 64, "d_mlp": 3072, "d_vocab": 50257, "n_ctx": 32},
    "small": {"n_layers": 4, "n_heads": 8, "d_model": 256, "d_head": 32, "d_mlp": 1024, "d_vocab": 512, "n_ctx": 32},
}


def write_inputs(folder: Path, shape: str) -> None:
    """Weights under TransformerLens's names, a batch of pairs, the ranking of edges and the order ACDC visits."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = SHAPES[shape]
    model = Transformer(TransformerConfig(**sizes, norm="layer", activation="gelu_tanh"))
    state = {
        "embed.W_E": model.W_E,
        "pos_embed.W_pos": model.W_pos,
        "unembed.W_U": model.W_U,
        "unembed.b_U": model.b_U,
        "ln_final.w": model.final_norm.w,
        "ln_final.b": model.final_norm.b,
    }
    for name, value in model.named_parameters():
        if name.startswith("layers."):
            theirs = name.replace("layers", "blocks").replace(".norm", ".ln")
            state[theirs] = value
    save_file(
        {k: v.detach().contiguous().clone() for k, v in state.items() if v is not None}, folder / "weights.safetensors"
    )
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, sizes["d_vocab"], (2, 8, 15), generator=generator)
    answers = torch.randint(0, sizes["d_vocab"], (2, 8, 1), generator=generator)
    batch = {"clean": tokens[0], "corrupt": tokens[1], "answers": answers[0], "wrong": answers[1]}
    save_file({k: v.contiguous() for k, v in batch.items()}, folder / "batch.safetensors")
    graph = Graph.of(model)
    names = [to_autocircuit_name(graph.edge_name(i)) for i in range(graph.n_edges)]
    order = [to_autocircuit_name(f"{graph.sources[s]}->{graph.receivers[r]}") for s, r in removal_order(graph)]
    ranking = [names[i] for i in np.random.default_rng(2).permutation(len(names))]
    columns = (batch[name].tolist() for name in ("clean", "corrupt", "answers", "wrong"))
    pairs = [Pair(tuple(c), tuple(x), tuple(a), tuple(w)) for c, x, a, w in zip(*columns, strict=True)]
    scores = Eap().scores(CircuitRunner(model.requires_grad_(False), pairs)).flat()
    by_eap = [names[i] for i in np.argsort(-np.abs(scores), kind="stable")]
    wanted = [int(x) for x in np.unique(np.geomspace(1, graph.n_edges, 20).round())]
    while len(wanted) < 20:  # equal sizes after rounding
        wanted = sorted({*wanted, next(i for i in range(1, 99) if i not in wanted)})
    settings = {
        "cfg": {**sizes, "act_fn": "gelu_new", "normalization_type": "LN", "eps": 1e-5},
        "edges": names,
        "ranking": ranking,
        "eap_ranking": by_eap,
        "order": order,
        "size": 200,
        "sizes": wanted,
        "steps": 5,
        "tau": 1e-3,
        "max_bytes": 256 << 20,
        "repeats": dict.fromkeys(CELLS, 1) | {"eap": 2, "patch": 3, "circuit": 3, "circuit_eap": 3},
    }
    (folder / "settings.json").write_text(json.dumps(settings))


def status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def run_ours(folder: Path, job: str, out: Path) -> dict[str, Any]:
    """The cell in this process."""
    torch.set_num_threads(1)
    settings, data = json.loads((folder / "settings.json").read_text()), load_file(folder / "batch.safetensors")
    model: Any = from_transformer_lens(load_file(folder / "weights.safetensors"), settings["cfg"])
    model.requires_grad_(False)
    columns = (data[name].tolist() for name in ("clean", "corrupt", "answers", "wrong"))
    pairs = [Pair(tuple(c), tuple(x), tuple(a), tuple(w)) for c, x, a, w in zip(*columns, strict=True)]
    graph = Graph.of(model)
    ranking = settings["eap_ranking" if job.endswith("_eap") else "ranking"]
    ranked = [parse_edge(graph, from_autocircuit_name(name)) for name in ranking]
    places = [parse_edge(graph, from_autocircuit_name(name)) for name in settings["edges"]]

    def first(size: int) -> Circuit:
        table = np.zeros(graph.allowed.shape, dtype=bool)
        table[tuple(np.array(ranked[:size]).T)] = True
        return Circuit(graph, table)

    def run() -> dict[str, torch.Tensor]:
        runner = CircuitRunner(model, pairs, max_bytes=settings["max_bytes"])
        if job in ("eap", "eap_ig"):
            found = (Eap() if job == "eap" else EapIg(steps=settings["steps"])).scores(runner)
            # theirs is the gradient of minus the mean difference: the drop
            return {"scores": torch.tensor([found.values[place] for place in places])}
        if job == "acdc":
            order = tuple(from_autocircuit_name(name) for name in settings["order"])
            kept = Acdc(tau=settings["tau"], order=order).remove(runner)
            print(f"{kept.circuits_run} circuits in {kept.batches_run} batches for {kept.edges} edges", file=sys.stderr)
            return {"kept": torch.tensor([bool(kept.circuit.table[place]) for place in places])}
        sizes = settings["sizes"] if job.startswith("sweep") else [settings["size"]]
        method = Methodology(direction="denoising" if job == "patch" else "noising")
        circuits = [first(size) for size in sizes]
        return {"logits": next(logits for _, logits in runner.run(circuits, method))}

    times, base = [], status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(settings["repeats"][job]):
        start = os.times()
        result = run()
        end = os.times()
        times.append((end.user - start.user, end.system - start.system))
    report = {"cpu": times, "base": base, "peak": status("VmHWM")}
    save_file({name: value.contiguous() for name, value in result.items()}, out)
    return report


def compare(job: str, ours: Path, theirs: Path) -> str:
    """How far the two results are apart."""
    a, b = load_file(ours), load_file(theirs)
    if job == "acdc":
        same = bool((a["kept"] == b["kept"]).all())
        return f"kept sets {'identical' if same else 'differ'}: {int(a['kept'].sum())} edges"
    key = "scores" if "scores" in a else "logits"
    x, y = a[key].double(), b[key].double()
    if job in ("eap", "eap_ig"):  # peers differ in sign and in what they divide by: compare after scaling
        scale = float((x * y).sum() / (y * y).sum())
        worst = float((x - scale * y).abs().max() / x.abs().max())
        return f"scores proportional ({scale:.4g}), largest difference {worst:.1e} of the largest score"
    return f"logits, largest difference {float((x - y).abs().max()):.1e} of {float(y.abs().max()):.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="python of an environment with auto-circuit and transformer-lens")
    parser.add_argument("--eap-ig", type=Path, help="a checkout of EAP-IG")
    parser.add_argument("--folder", type=Path, default=Path("benchmark-circuits"))
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep-memory", action="store_true", help="tell the allocator of every process to keep memory")
    parser.add_argument("--ours", nargs=3, metavar=("FOLDER", "JOB", "OUT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ours:
        folder, job, out = chosen.ours
        print(json.dumps(run_ours(Path(folder), job, Path(out))))
        return
    for shape in SHAPES:
        if not (chosen.folder / shape / "settings.json").is_file():
            write_inputs(chosen.folder / shape, shape)
    columns = ("cell", "library", "CPU s", "user + system", "ratio", "of user time", "peak MiB", "ratio", "equality")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for job in chosen.cells.split(","):
        shape, title = CELLS[job]
        folder = chosen.folder / shape
        mine = folder / f"{job}-toulmin.safetensors"
        commands = {"toulmin": [sys.executable, __file__, "--ours", str(folder), job, str(mine)]}
        for peer, jobs in PEERS.items():
            if job in jobs and chosen.peer and (peer != "eap_ig" or chosen.eap_ig):
                worker = HERE / "peers" / peer / "worker.py"
                extra = [str(chosen.eap_ig)] if peer == "eap_ig" else []
                out = folder / f"{job}-{peer}.safetensors"
                commands[peer] = [chosen.peer, str(worker), str(folder), job, str(out), *extra]
        report_cell(title, job, measure(commands, chosen.rounds, KEEP if chosen.keep_memory else {}), commands)


Result = tuple[list[tuple[float, float]], float, str]  #: user and system seconds of each run, MiB, what it said


def measure(commands: dict[str, list[str]], rounds: int, environment: dict[str, str]) -> dict[str, Result]:
    """Every library in turn, round by round; the most memory of the rounds."""
    found: dict[str, Result] = {}
    for _ in range(rounds):
        for library, command in commands.items():
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
            said = done.stderr.strip().splitlines()
            if done.returncode:
                print(f"| {library} failed: {said[-1]} |", flush=True)
                continue
            report = json.loads(done.stdout.strip().splitlines()[-1])
            times, mib, _ = found.get(library, ([], 0.0, ""))
            times += [(user, system) for user, system in report["cpu"]]
            found[library] = (times, max(mib, (report["peak"] - report["base"]) / 2**20), said[-1] if said else "")
    return found


def report_cell(title: str, job: str, results: dict[str, Result], commands: dict[str, list[str]]) -> None:
    """The rows of a cell, against ours."""
    for library, (times, mib, said) in results.items():
        user, system = min(times, key=sum)
        note, ratios = said, ("1", "1", "1")
        if library != "toulmin" and "toulmin" in results:
            note = compare(job, Path(commands["toulmin"][-1]), Path(commands[library][4]))
            ours, our_mib, _ = results["toulmin"]
            least = min(ours, key=sum)
            ratios = (f"{(user + system) / sum(least):.1f}", f"{user / least[0]:.1f}", f"{mib / our_mib:.1f}")
        row = [
            title,
            library,
            f"{user + system:.2f}",
            f"{user:.2f} + {system:.2f}",
            *ratios[:2],
            f"{mib:.0f}",
            ratios[2],
        ]
        print(f"| {' | '.join([*row, note if library != 'toulmin' or job == 'acdc' else ''])} |", flush=True)


if __name__ == "__main__":
    main()
