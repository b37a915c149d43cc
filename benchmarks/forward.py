"""A forward pass of a random GPT-2-small: ours against transformers and TransformerLens, on the same weights.

    python benchmarks/forward.py --peer PATH/TO/PEER/bin/python [--rounds 3] [--repeats 3]

One thread everywhere. CPU seconds, not wall-clock, because the machine may be shared; the rounds of the three libraries
alternate, and the least of all repeats is compared. Logits must agree to 1e-3 (float32, values of order ten).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SHAPES = {"8x15": (8, 15), "4x256": (4, 256)}
PEER = Path(__file__).parent / "peers" / "transformer_lens" / "worker.py"
CFG = {
    "n_layers": 12,
    "d_model": 768,
    "n_heads": 12,
    "d_head": 64,
    "d_mlp": 3072,
    "n_ctx": 1024,
    "d_vocab": 50257,
    "act_fn": "gelu_new",
    "normalization_type": "LN",
    "eps": 1e-5,
}
Times = dict[str, dict[str, list[float]]]


def write_model(folder: Path) -> None:
    """A random GPT-2-small as transformers writes it, and the same weights under TransformerLens's names."""
    import transformers

    from toulmin.subjects import load_huggingface
    from toulmin.subjects.transformer_lens import _name

    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(transformers.GPT2Config()).save_pretrained(folder / "hf")
    model = load_huggingface(folder / "hf")
    state = {_name(name, model.config): p.detach().contiguous() for name, p in model.named_parameters()}
    state |= {"unembed.W_U": model.W_U.detach().contiguous(), "unembed.b_U": torch.zeros(50257)}
    save_file(state, folder / "tl.safetensors")
    (folder / "tl.json").write_text(json.dumps(CFG))
    generator = torch.Generator().manual_seed(1)
    tokens = {name: torch.randint(0, 50257, shape, generator=generator) for name, shape in SHAPES.items()}
    save_file(tokens, folder / "tokens.safetensors")


def measure(cases: dict[str, Callable[[torch.Tensor], torch.Tensor]], folder: Path, repeats: int) -> tuple[Times, dict]:
    times: Times = {}
    logits = {}
    with torch.no_grad():
        for shape, tokens in load_file(folder / "tokens.safetensors").items():
            for case, call in cases.items():
                logits[shape] = call(tokens).contiguous()
                for _ in range(repeats):
                    start = time.process_time()
                    call(tokens)
                    times.setdefault(case, {}).setdefault(shape, []).append(time.process_time() - start)
    return times, logits


def work(which: str, folder: Path, repeats: int) -> None:
    """What a child process does: load the model its own way, time it, print the times, leave the logits."""
    torch.set_num_threads(1)
    if which == "toulmin":
        from toulmin.subjects import load_huggingface

        model = load_huggingface(folder / "hf")
        cases = {"forward": model, "run_with_cache": lambda tokens: model.run_with_cache(tokens)[0]}
        versions = {"toulmin": version("toulmin"), "torch": torch.__version__}
    else:
        import transformers

        reference = transformers.GPT2LMHeadModel.from_pretrained(folder / "hf").eval()
        cases = {"forward": lambda tokens: reference(tokens, use_cache=False).logits}
        versions = {"transformers": transformers.__version__, "attention": reference.config._attn_implementation}
    times, logits = measure(cases, folder, repeats)
    save_file(logits, folder / f"{which}.safetensors")
    print(json.dumps({"versions": versions, "times": times}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--peer", help="python of an environment with benchmarks/peers/transformer_lens/requirements.txt"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", nargs=2, metavar=("WHICH", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker[0], Path(options.worker[1]), options.repeats)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(folder)
        commands = {
            name: [sys.executable, __file__, "--worker", name, scratch, "--repeats", str(options.repeats)]
            for name in ("toulmin", "transformers")
        }
        if options.peer:
            paths = [str(folder / name) for name in ("tl.safetensors", "tl.json", "tokens.safetensors")]
            out = str(folder / "transformer_lens.safetensors")
            commands["transformer_lens"] = [options.peer, str(PEER), *paths, out, str(options.repeats)]
        best: dict[tuple[str, str, str], float] = {}
        versions: dict[str, str] = {}
        for _ in range(options.rounds):
            for name, command in commands.items():
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                answer = json.loads(done.stdout.strip().splitlines()[-1])
                versions |= {f"{name}'s {key}": value for key, value in answer["versions"].items()}
                for case, shapes in answer["times"].items():
                    for shape, seconds in shapes.items():
                        key = (shape, name, case)
                        best[key] = min(best.get(key, float("inf")), *seconds)
        ours = load_file(folder / "toulmin.safetensors")
        worst = {
            name: max(float((load_file(folder / f"{name}.safetensors")[s] - ours[s]).abs().max()) for s in SHAPES)
            for name in commands
            if name != "toulmin"
        }
    report(best, worst, versions)
    if max(worst.values()) > 1e-3:
        sys.exit("the logits differ")


def report(best: dict[tuple[str, str, str], float], worst: dict[str, float], versions: dict[str, str]) -> None:
    print("| batch | library | case | CPU seconds | of our forward | of our run_with_cache |")
    print("|---|---|---|---|---|---|")
    for (shape, name, case), seconds in sorted(best.items()):
        forward, cached = best[shape, "toulmin", "forward"], best[shape, "toulmin", "run_with_cache"]
        print(f"| {shape} | {name} | {case} | {seconds:.3f} | {seconds / forward:.2f} | {seconds / cached:.2f} |")
    print("\nLargest difference of a logit from ours:", ", ".join(f"{k} {v:.1e}" for k, v in worst.items()))
    print("Versions:", ", ".join(f"{k} {v}" for k, v in versions.items()))


if __name__ == "__main__":
    main()
