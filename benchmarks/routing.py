"""A training step with and without routes: ours, and the mask applier of the paper's public repository.

    python benchmarks/routing.py small
    python benchmarks/routing.py gpt2 --steps 5
    python benchmarks/routing.py small --peer PEER/bin/python --checkout PATH/gradient-routing

A step is a forward and a backward pass and AdamW, one thread. Within one process the ways take turns, step by step, and
a ratio is the median over the steps of (CPU seconds with routes) / (without, in the same turn); its interval is the
bootstrap's over the steps. Peak memory is that of a process that runs one way only.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

SHAPES = {
    "small": ({"n_layers": 4, "d_model": 128, "n_heads": 4, "d_head": 32, "d_mlp": 512, "d_vocab": 512, "n_ctx": 128},
              (16, 128)),
    "gpt2": ({"n_layers": 12, "d_model": 768, "n_heads": 12, "d_head": 64, "d_mlp": 3072, "d_vocab": 50257,
              "n_ctx": 128}, (2, 128)),
}  # fmt: skip
WAYS = ("plain", "activation", "parameter", "parameter, updates blocked", "forward")
OUTSIDE = -0.75


def build(shape: str, way: str) -> Callable[[], float]:
    """One step of a way, on a model of its own; returns CPU seconds."""
    from toulmin.routing import Route, RoutePlan, Router
    from toulmin.subjects import Transformer, TransformerConfig
    from toulmin.training import next_token_loss

    cfg, size = SHAPES[shape]
    config = TransformerConfig(**cfg, norm="layer", activation="gelu_tanh")
    model = Transformer(config, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(cfg["d_vocab"], size, generator=torch.Generator().manual_seed(0))
    span = slice(cfg["d_mlp"] - cfg["d_mlp"] // 8, cfg["d_mlp"])
    kind = way.partition(",")[0]
    at, params = "layers.*.mlp.post", "layers.*.mlp"
    routes = {
        "activation": Route("forget", at=at, dims=span, outside=OUTSIDE),
        "parameter": Route("forget", params=params, rows_or_cols=span, kind="parameter"),
        "forward": Route("forget", at=at, dims=span, params=params, kind="forward"),
    }
    router = Router(model, RoutePlan([routes[kind]])) if kind in routes else None
    if router is not None and "blocked" in way:
        router.block_updates(optimizer)

    def step() -> float:
        started = time.process_time()
        optimizer.zero_grad()
        if router is None:
            loss = next_token_loss(model, tokens)
        else:
            with router(labels="forget"):
                loss = next_token_loss(model, tokens)
        loss.backward()
        optimizer.step()
        return time.process_time() - started

    return step


def peak_mb() -> float:
    """Peak resident memory of this process; ``ru_maxrss`` would count what its parent held when it was started."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise SystemExit("no peak memory is to be read here: /proc/self/status has no VmHWM")
    return int(found[1]) / 1024


def alone(shape: str, way: str) -> float:
    """Peak MB of a process that runs this way only."""
    done = subprocess.run(
        [sys.executable, __file__, shape, "--alone", way], capture_output=True, text=True, check=True, timeout=600
    )
    return float(done.stdout.splitlines()[-1])


def pair(shape: str, way: str, count: int) -> tuple[list[float], list[float]]:
    """CPU seconds of steps without and with routes, in turn; who begins alternates."""
    steps = (build(shape, "plain"), build(shape, way))
    seconds: tuple[list[float], list[float]] = ([], [])
    for step in steps:
        step()
    for turn in range(count):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[which].append(steps[which]())
    return seconds


def ratio(routed: list[float], plain: list[float]) -> tuple[float, float, float]:
    """Median of the paired ratios, and the 95% bootstrap interval over steps."""
    each = np.array(routed) / np.array(plain)
    drawn = np.random.default_rng(0).integers(0, len(each), (2000, len(each)))
    low, high = np.quantile(np.median(each[drawn], 1), [0.025, 0.975])
    return float(np.median(each)), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--ways", nargs="+", choices=WAYS[1:], default=WAYS[1:], help="by default all")
    parser.add_argument("--peer", help="the Python of an environment with peers/gradient_routing/requirements.txt")
    parser.add_argument("--checkout", help="a checkout of the public repository of the paper")
    parser.add_argument("--alone", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        step = build(options.shape, options.alone)
        step(), step()
        print(peak_mb())
        return
    print(f"plain: {alone(options.shape, 'plain'):.0f} MB")
    for way in options.ways:
        plain, routed = pair(options.shape, way, options.steps)
        middle, low, high = ratio(routed, plain)
        took = 1e3 * statistics.median(plain)
        memory = alone(options.shape, way)
        print(f"{way}: {middle:.3f} [{low:.3f}, {high:.3f}] of {took:.0f} ms, {memory:.0f} MB", flush=True)
    if options.peer:
        cfg, size = SHAPES[options.shape]
        names = {"act_fn": "gelu_new", "normalization_type": "LN"}
        case = {"cfg": {**cfg, **names}, "region": cfg["d_mlp"] // 8, "outside": OUTSIDE, "shape": size}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "case.json"
            path.write_text(json.dumps(case))
            worker = Path(__file__).parent / "peers/gradient_routing/worker.py"
            command = [options.peer, str(worker), str(path), options.checkout, str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1200)
        found = json.loads(done.stdout.splitlines()[-1])
        middle, low, high = ratio(found["seconds"]["routed"], found["seconds"]["plain"])
        plain = 1e3 * statistics.median(found["seconds"]["plain"])
        print(f"peer: plain {plain:.1f} ms; routed {middle:.3f} [{low:.3f}, {high:.3f}], {found['peak']:.0f} MB")


if __name__ == "__main__":
    main()
