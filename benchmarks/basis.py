"""Bases and interactions of an MLP and of a transformer: ours against rib, on the same weights and data.

    python benchmarks/basis.py --rib CHECKOUT --peer PEER/bin/python [--width 200] [--samples 1500] [--batch 50]
    python benchmarks/basis.py --rib CHECKOUT --peer PEER/bin/python --subject dir:MODADD --samples 100 --batch 100

Each side computes Gram matrices, the Local Interaction Basis of every layer and all interactions, in a process of its
own with one thread, in float64. CPU seconds are compared, not wall-clock, because the machine may be shared; memory is
what the work adds to the process that has loaded the data. Results are compared by C C^T (columns have signs) and E.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from toulmin.basis import Chain

WORKER = Path(__file__).parent / "peers" / "rib" / "worker.py"


def write_case(folder: Path, width: int, samples: int) -> None:
    """Random weights of an MLP with two hidden layers and ten outputs, and random inputs."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for number, (a, b) in enumerate(itertools.pairwise((width, width, width, 10))):
        for name, shape in ((f"W{number}", (a, b)), (f"b{number}", (b,))):
            tensors[name] = torch.randn(*shape, generator=generator, dtype=torch.float64) / a**0.5
    tensors["x"] = torch.randn(samples, width, generator=generator, dtype=torch.float64)
    save_file(tensors, folder / "case.safetensors")


def write_transformer(folder: Path, reference: str, samples: int) -> None:
    """Weights of a one-layer transformer that adds modulo a prime, and some of the pairs."""
    from toulmin.subjects import load

    model = load(reference, dtype=torch.float64).model
    modulus = model.config.d_vocab - 1
    tensors = {
        name.split(".")[-1].removeprefix("_"): value.detach().contiguous().clone()
        for name, value in model.named_parameters()
    }
    pairs = torch.randperm(modulus**2, generator=torch.Generator().manual_seed(0))[:samples]
    tensors["x"] = torch.stack([pairs // modulus, pairs % modulus, torch.full_like(pairs, modulus)], 1)
    save_file(tensors, folder / "case.safetensors")


def status(field: str) -> int:
    """Bytes from the kernel's account of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def our_transformer(reference: str, tokens: torch.Tensor) -> tuple[Chain, torch.Tensor]:
    """The chain of the transformer, read at the last position after attention, and its first activations."""
    from toulmin.basis import site_inputs, transformer_chain
    from toulmin.subjects import load

    model = load(reference, dtype=torch.float64).model
    sites = ["L0.resid_pre", "L0.resid_mid", "L0.resid_post", "logits"]
    with torch.no_grad():
        return transformer_chain(model, sites, 3, last_position=sites[1]), site_inputs(model, tokens, sites[0])


def our_mlp(data: dict[str, torch.Tensor]) -> tuple[Chain, torch.Tensor]:
    """The chain of the MLP and its inputs."""
    from toulmin.basis import mlp_chain, with_constant
    from toulmin.subjects import Mlp

    count = sum(name.startswith("W") for name in data)
    model = Mlp([data["W0"].shape[0], *(data[f"W{n}"].shape[1] for n in range(count))]).double()
    with torch.no_grad():
        for number, layer in enumerate(model.layers):
            assert isinstance(layer, torch.nn.Linear)
            layer.weight.copy_(data[f"W{number}"].T)
            layer.bias.copy_(data[f"b{number}"])
    return mlp_chain(model), with_constant(data["x"])[:, None]


def ours(folder: Path, out: Path, batch: int, subject: str | None) -> None:
    """Our side, in a process of its own."""
    from toulmin.basis import interactions, local_interaction_basis

    torch.set_num_threads(1)
    data = load_file(folder / "case.safetensors")
    chain, x = our_mlp(data) if subject is None else our_transformer(subject, data["x"])
    count = len(chain.sections)
    before, start = status("VmRSS"), time.process_time()
    found = local_interaction_basis(chain, list(x.split(batch)), max_bytes=1 << 20)
    whole = time.process_time() - start
    added = status("VmHWM") - before
    start, at = time.process_time(), chain.activations(x)
    for number, (section, own) in enumerate(zip(chain.sections, found.rotations, strict=True)):
        after = found.rotations[number + 1].C if number + 1 < count else None
        interactions(section, at[number].split(batch), own.C, own.C_inverse, after, max_bytes=1 << 20)
    edges = time.process_time() - start
    tensors = {f"C{n}": rotation.C.contiguous() for n, rotation in enumerate(found.rotations)}
    tensors |= {f"E{n}": edges.contiguous() for n, edges in enumerate(found.edges)}
    save_file(tensors, out)
    print(json.dumps({"bases": whole - edges, "edges": edges, "bytes": added}))


def main() -> None:
    """Run both sides and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rib", type=Path)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--subject", help="a one-layer transformer of modular addition, in place of the MLP")
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--ours", nargs=2, type=Path, metavar=("FOLDER", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        folder, out = given.ours
        ours(folder, out, given.batch, given.subject)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine = [sys.executable, __file__, "--batch", given.batch, "--ours", folder, folder / "ours"]
        if given.subject is None:
            write_case(folder, given.width, given.samples)
        else:
            write_transformer(folder, given.subject, given.samples)
            mine += ["--subject", given.subject]
        jobs = {"ours": mine}
        if given.rib:
            jobs["rib"] = [given.peer, WORKER, given.rib, folder, folder / "rib", given.batch]
        for job, command in jobs.items():
            done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, timeout=3600)
            print(job, done.stdout.strip().splitlines()[-1], flush=True)
        if given.rib:
            compare(load_file(folder / "ours"), load_file(folder / "rib"))


def compare(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], most: int = 20) -> None:
    """C C^T (columns have signs), and E of the strongest features: thresholds are absolute there and relative here, so
    the number of the weakest differs."""
    for key in sorted(a):
        left, right = a[key], b[key]
        if key.startswith("C"):
            note, left, right = "C C^T", left @ left.T, right @ right.T
        else:
            note, (left, right) = "E", (part[:most, :most] for part in (left, right))
        gap = float((left - right).abs().max() / right.abs().max())
        sizes = f"{tuple(a[key].shape)}, {tuple(b[key].shape)}"
        print(f"{note} {key[1:]} {sizes}: largest difference over largest entry {gap:.1e}")


if __name__ == "__main__":
    main()
