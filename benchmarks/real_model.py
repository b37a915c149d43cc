"""Memory and time of the methods on SmolLM2-135M and on a random model of GPT-2 small's size, on a CPU or a GPU.

    python benchmarks/real_model.py run OUT.jsonl [--device cuda] [--minutes 8] [--only NAME ...] [--model REFERENCE]
    python benchmarks/real_model.py report OUT.jsonl

Each measurement runs in a process of its own and is one line of OUT.jsonl; those that are there are not run again, and
none is begun after the minutes given, so that the same command is repeated until it says "done". On a GPU the clock is
that of the wall, after a first run that is not counted; on a CPU it is the CPU time of one thread. For a machine
without network that takes small files only:

    python benchmarks/real_model.py pack FOLDER FILE...      # pieces of at most 60 MB, with names and hashes
    python benchmarks/real_model.py unpack FOLDER OUT        # there; then --model dir:OUT
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIECE = 60_000_000  #: bytes
LIMIT = 3600.0  #: seconds of one measurement
GPT2 = {"n_layers": 12, "d_model": 768, "n_heads": 12, "d_head": 64, "d_vocab": 50257, "n_ctx": 1024, "d_mlp": 3072}

Work = Callable[[], object]


def gpt2_sized(device: str) -> tuple[Any, list[Any]]:
    """A random model, and 8 pairs of 15 random tokens."""
    import numpy as np
    import torch

    from toulmin.subjects import Transformer, TransformerConfig
    from toulmin.tasks import Pair

    config = TransformerConfig(**GPT2, positions="learned", norm="layer", activation="gelu")  # type: ignore[arg-type]
    model = Transformer(config, torch.Generator().manual_seed(0)).requires_grad_(False).to(device)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, GPT2["d_vocab"], (2, 15)).tolist() for _ in range(8)]
    return model, [Pair(clean, other, (3,), (5,), unit=str(i)) for i, (clean, other) in enumerate(rows)]


def smollm2(reference: str, device: str, n: int) -> tuple[Any, list[Any]]:
    """The real model, and n pairs of indirect objects."""
    from toulmin.subjects import load
    from toulmin.tasks import find_task

    subject = load(reference)
    subject.model.to(device)
    return subject.model, find_task("ioi", subject).generate(n, seed=0)


def work_of(name: str, reference: str, device: str) -> Work:
    """What the measurement does once everything is loaded."""
    from toulmin.circuits import CircuitRunner, discover
    from toulmin.paths import activation_patching, head_to_head

    which, _, what = name.partition(": ")
    if which == "GPT-2 size":
        model, pairs = gpt2_sized(device)
    else:
        model, pairs = smollm2(reference, device, 4 if what == "activation patching, heads" else 8)
    if what == "head to head, K":
        return lambda: head_to_head(model, pairs, "K")
    if what == "activation patching, heads":
        return lambda: activation_patching(model, pairs, "heads")
    runner = CircuitRunner(model, pairs)
    settings = {"EAP": ("eap", {}), "EAP-IG": ("eap_ig", {"steps": 5}), "exact effects, all edges": ("exact", {})}
    method, more = settings[what]
    return lambda: discover(runner, method, size=200, **more)


NAMES = (
    "SmolLM2: EAP", "SmolLM2: EAP-IG", "SmolLM2: activation patching, heads", "GPT-2 size: EAP",
    "GPT-2 size: head to head, K", "GPT-2 size: exact effects, all edges", "SmolLM2: head to head, K",
)  # fmt: skip


def measure(name: str, reference: str, device: str) -> dict[str, Any]:
    """Seconds and peak memory of one measurement, with what it ran on."""
    import torch

    torch.set_num_threads(1)
    work, cuda = work_of(name, reference, device), device.startswith("cuda")
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if cuda:
        work()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    clock = time.perf_counter if cuda else time.process_time
    start = clock()
    work()
    if cuda:
        torch.cuda.synchronize()
    seconds = clock() - start
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    on = torch.cuda.get_device_name() if cuda else f"{platform.machine()}, one thread"
    return {"name": name, "seconds": seconds, "peak": peak, "loaded": loaded, "on": on, "torch": torch.__version__}


def run(out: Path, names: list[str], reference: str, device: str, minutes: float) -> None:
    """Measure what is not in ``out`` yet, until the time is over."""
    end = time.monotonic() + 60 * minutes
    have = {line["name"] for line in read(out)}
    for name in names:
        if name in have:
            continue
        if time.monotonic() > end:
            print("the piece is over: run the same command again")
            return
        command = [sys.executable, __file__, "one", name, "--model", reference, "--device", device]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-2000:]}")
        with out.open("a", encoding="utf-8") as file:
            file.write(done.stdout.splitlines()[-1] + "\n")
        print(done.stdout.splitlines()[-1], flush=True)
    print("done")


def read(out: Path) -> list[dict[str, Any]]:
    """The measurements so far."""
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []


def report(out: Path) -> None:
    """A table in Markdown."""
    print("| what | seconds | peak, GB | on |\n|---|---|---|---|")
    for line in read(out):
        print(f"| {line['name']} | {line['seconds']:.1f} | {line['peak'] / 1e9:.1f} | {line['on']} |")


def pack(folder: Path, files: list[Path]) -> None:
    """Cut files into pieces, and write down their names and hashes."""
    folder.mkdir(parents=True)
    found = []
    for file in files:
        data = file.read_bytes()
        pieces = [data[at : at + PIECE] for at in range(0, max(1, len(data)), PIECE)]
        for number, piece in enumerate(pieces):
            (folder / f"{file.name}.{number:03}").write_bytes(piece)
        found.append({"name": file.name, "pieces": len(pieces), "sha256": hashlib.sha256(data).hexdigest()})
    (folder / "files.json").write_text(json.dumps(found, indent=1), "utf-8")


def unpack(folder: Path, out: Path) -> None:
    """Put the files together again.

    :raises SystemExit: a piece is missing or was changed.
    """
    out.mkdir(parents=True, exist_ok=True)
    for entry in json.loads((folder / "files.json").read_text("utf-8")):
        parts = [folder / f"{entry['name']}.{number:03}" for number in range(entry["pieces"])]
        if missing := [part.name for part in parts if not part.exists()]:
            sys.exit(f"missing: {', '.join(missing)}")
        data = b"".join(part.read_bytes() for part in parts)
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            sys.exit(f"{entry['name']} is not what was packed")
        (out / entry["name"]).write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "one"):
        sub = commands.add_parser(name)
        sub.add_argument("target", help="OUT.jsonl" if name == "run" else "the measurement")
        sub.add_argument("--device", default="cpu")
        sub.add_argument("--model", default="cached:smollm2-135m")
        if name == "run":
            sub.add_argument("--minutes", type=float, default=8.0)
            sub.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    commands.add_parser("report").add_argument("out", type=Path)
    sub = commands.add_parser("pack")
    sub.add_argument("folder", type=Path)
    sub.add_argument("files", type=Path, nargs="+")
    sub = commands.add_parser("unpack")
    sub.add_argument("folder", type=Path)
    sub.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        run(Path(given.target), given.only, given.model, given.device, given.minutes)
    elif given.command == "one":
        print(json.dumps(measure(given.target, given.model, given.device)))
    elif given.command == "report":
        report(given.out)
    elif given.command == "pack":
        pack(given.folder, given.files)
    else:
        unpack(given.folder, given.out)


if __name__ == "__main__":
    main()
