"""One training step of a dictionary: ours against e2e_sae, eai-sparsify and SAELens, on the same weights and tokens.

    python benchmarks/dictionaries.py e2e --peer PEER/bin/python --checkout PATH/e2e_sae
    python benchmarks/dictionaries.py local --peer PEER/bin/python
    python benchmarks/dictionaries.py sparsify --peer PEER/bin/python

Each side runs in a process of its own with one thread, from the same first weights, and does the same updates (loss,
backward, clipping, Adam). CPU seconds are compared, not wall-clock, because the machine may be shared: the sides take
turns, and the smallest of the rounds counts. Losses agree at every step with e2e_sae; with SAELens in the first (it
does not divide by the decoder's norm, but weighs its penalty with it); eai-sparsify runs another GPT-2 of the same
shape, and logs a cross-entropy.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

PEERS = Path(__file__).parent / "peers"
LAYERS, WIDTH, VOCABULARY, LENGTH, BATCH, LAYER = 4, 128, 512, 128, 16, 2


def write_case(folder: Path, mode: str, features: int, kind: str, dtype: str) -> None:
    """A random model under TransformerLens' names, a dictionary's first weights, tokens and activations."""
    from toulmin.dictionaries import DictionaryConfig, make_dictionary
    from toulmin.subjects import Transformer
    from toulmin.subjects.transformer_lens import _name

    model = Transformer(config(), torch.Generator().manual_seed(0))
    state = {_name(name, model.config): p.detach().contiguous() for name, p in model.named_parameters()}
    save_file(state, folder / "weights.safetensors")
    save_file({n: p.detach().contiguous() for n, p in model.named_parameters()}, folder / "ours.safetensors")
    dictionary = make_dictionary(DictionaryConfig(kind, WIDTH, features, k=32 if kind == "topk" else None))  # type: ignore[arg-type]
    if mode == "activations":  # SAELens uses the rows as they are
        with torch.no_grad():
            dictionary.W_dec.copy_(dictionary.directions)
    save_file({n: p.detach().contiguous() for n, p in dictionary.state_dict().items()}, folder / "sae.safetensors")
    tokens = torch.randint(0, VOCABULARY, (4, BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = torch.stack([model.run_to(part, LAYER) for part in tokens])
    save_file({"tokens": tokens}, folder / "tokens.safetensors")
    save_file({"x": x}, folder / "activations.safetensors")
    cfg = {
        "n_layers": LAYERS, "d_model": WIDTH, "n_heads": 4, "d_head": 32, "d_mlp": 512, "n_ctx": LENGTH,
        "d_vocab": VOCABULARY, "act_fn": "gelu_new", "normalization_type": "LN",
    }  # fmt: skip
    case = {
        "cfg": cfg, "hook": f"blocks.{LAYER}.hook_resid_pre", "mode": mode, "features": features, "kind": kind,
        "sparsity": 0.0 if kind == "topk" else 1.5, "lr": 5e-4, "dtype": dtype,
    }  # fmt: skip
    (folder / "case.json").write_text(json.dumps(case))


def config() -> object:
    from toulmin.subjects import TransformerConfig

    return TransformerConfig(
        n_layers=LAYERS, d_model=WIDTH, n_heads=4, d_head=32, d_vocab=VOCABULARY, n_ctx=LENGTH, d_mlp=512,
        norm="layer", activation="gelu_tanh",
    )  # fmt: skip


def work(folder: Path, steps: int) -> None:
    """Our side, in a process of its own."""
    from toulmin.dictionaries import DictionaryConfig, Insertion, Objective, make_dictionary
    from toulmin.dictionaries.trainer import train_dictionaries, train_on_activations
    from toulmin.subjects import Transformer
    from toulmin.training import IndexedBatches, Schedule

    torch.set_num_threads(1)
    case = json.loads((folder / "case.json").read_text())
    kind = case["kind"]
    dictionary = make_dictionary(DictionaryConfig(kind, WIDTH, case["features"], k=32 if kind == "topk" else None))
    dictionary.load_state_dict(load_file(folder / "sae.safetensors"))
    marks: list[float] = []
    losses: list[float] = []

    class Losses:
        """Reads the loss of every step; the first run has it, and the second, which is timed, logs nothing."""

        every = 1

        def on_start(self, state: object, steps: int) -> None:
            """Nothing to do."""

        def on_step(self, state: object, metrics: dict[str, float]) -> None:
            losses.append(metrics["loss"])

        def on_end(self, state: object) -> None:
            """Nothing to do."""

    def given(batch: Tensor) -> Tensor:
        marks.append(time.process_time())  # when the step begins: the first is not counted
        return batch

    schedule = Schedule(steps + 1, case["lr"], "constant")
    start = {name: value.clone() for name, value in dictionary.state_dict().items()}
    if case["mode"] == "activations":
        x = load_file(folder / "activations.safetensors")["x"]
        objective = Objective(sparsity=case["sparsity"], local=1.0, form="paper")  # SAELens sums over the width
        made = Insertion("x", {"activations": dictionary}, objective)
        batches = IndexedBatches(lambda i: given(x[i % len(x)].flatten(0, 1)))
        train = partial(train_on_activations, [made], batches, schedule)
    else:
        model = Transformer(config())  # type: ignore[arg-type]
        model.load_state_dict(load_file(folder / "ours.safetensors"))
        model.to(getattr(torch, case["dtype"]))
        tokens = load_file(folder / "tokens.safetensors")["tokens"]
        terms = {"local": 1.0} if case["mode"] == "local" else {"kl": 1.0}
        made = Insertion("x", {f"L{LAYER}.resid_pre": dictionary}, Objective(sparsity=case["sparsity"], **terms))
        batches = IndexedBatches(lambda i: given(tokens[i % len(tokens)]))
        train = partial(train_dictionaries, model, [made], batches, schedule)
    train(callbacks=[Losses()])
    dictionary.load_state_dict(start)
    batches.seek({"index": 0})
    marks.clear()
    train()
    marks.append(time.process_time())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    save_file({"losses": torch.tensor(losses)}, folder / "ours_losses.safetensors")
    print(json.dumps({"cpu": marks[-1] - marks[1], "steps": steps, "peak_mb": peak / 1024}))


def run(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(peer: str, python: str, checkout: str, features: int, steps: int, rounds: int, dtype: str) -> None:
    from toulmin.dictionaries import Objective
    from toulmin.dictionaries.flops import floor_flops

    worker, mode, kind = {
        "e2e": ("e2e_sae", "e2e", "relu"),
        "local": ("sae_lens", "activations", "relu"),
        "sparsify": ("eai_sparsify", "e2e", "topk"),
    }[peer]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_case(folder, mode, features, kind, dtype)
        theirs, ours = [], []
        for _ in range(rounds):
            theirs.append(run([python, str(PEERS / worker / "worker.py"), str(folder), checkout, str(steps)]))
            ours.append(run([sys.executable, __file__, "work", "--case", str(folder), "--steps", str(steps)]))
        a = load_file(folder / "theirs.safetensors")["losses"].double()
        b = load_file(folder / "ours_losses.safetensors")["losses"].double()
        gaps = (a - b).abs() / a.abs()
    tokens = steps * BATCH * LENGTH
    cpu = [min(r["cpu"] for r in side) / tokens * 1e6 for side in (theirs, ours)]
    memory = [max(r["peak_mb"] for r in side) for side in (theirs, ours)]
    objective = Objective(kl=1.0) if mode == "e2e" else Objective(local=1.0)
    floor = floor_flops(config(), LAYER if mode == "e2e" else 0, objective, features, LENGTH)  # type: ignore[arg-type]
    speed = product_speed()
    print(
        f"{peer} F={features} {dtype}: theirs {cpu[0]:.1f}, ours {cpu[1]:.1f} CPU microseconds a token, ratio "
        f"{cpu[0] / cpu[1]:.2f}; peak {memory[0]:.0f} and {memory[1]:.0f} MB; losses apart {gaps[0]:.1e} in the first "
        f"step, at most {gaps.max():.1e}; floor "
        f"{floor / 1e6:.2f} Mflop a token, at {speed / 1e9:.0f} Gflop/s {floor / speed * 1e6:.1f} microseconds, "
        f"ours is {cpu[1] * speed / floor / 1e6:.2f} times that"
    )


def product_speed() -> float:
    """Floating-point operations a second of a float32 product of this size, by which the floor is divided."""
    torch.set_num_threads(1)
    a, b = torch.randn(BATCH * LENGTH, WIDTH), torch.randn(WIDTH, 4 * WIDTH)
    best = 0.0
    for _ in range(5):
        start = time.process_time()
        for _ in range(20):
            a @ b
        best = max(best, 20 * 2 * BATCH * LENGTH * WIDTH * 4 * WIDTH / (time.process_time() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["e2e", "local", "sparsify", "work"])
    parser.add_argument("--peer", help="python of the peer's environment")
    parser.add_argument("--checkout", default="-", help="the checkout of e2e_sae")
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--case", type=Path)
    options = parser.parse_args()
    if options.what == "work":
        work(options.case, options.steps)
        return
    compare(
        options.what, options.peer, options.checkout, options.features, options.steps, options.rounds, options.dtype
    )


if __name__ == "__main__":
    main()
