"""End-to-end against local dictionaries: sweeps with ready settings, in pieces that can be resumed.

    python benchmarks/dictionaries_sweep.py story-4l OUT --minutes 8            # again and again, until it says done
    python benchmarks/dictionaries_sweep.py smollm2-gpu OUT --shared SHARED --device cuda --minutes 8

Each call goes on where the last one stopped and ends after about the minutes given; OUT/SETTING/results.json has the
numbers of every run when all is done, and ``--report`` prints the comparison. Learning rates are tuned for each mode on
one grid; the ranges of L0 and of alive features are written in the setting, before any run. ``--model`` and
``--tokens`` say where the subject and the tokens are, if not where the setting has them.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from toulmin.dictionaries import Dictionary, Objective, make_dictionary
from toulmin.dictionaries.pareto import Curve, gap_closed, mean_ratio
from toulmin.dictionaries.positions import Skip
from toulmin.dictionaries.sites import clean_pass
from toulmin.dictionaries.sources import TokenSplit, split_tokens
from toulmin.dictionaries.sweep import SweepRun, SweepShape, held_out_loss, load_trained, result_to_json, train_sweep
from toulmin.dictionaries.trainer import TrainingOptions
from toulmin.faults import FaultError
from toulmin.studies import Resolver
from toulmin.subjects import Transformer, load

AFTER = 1 << 16  #: first row of the finetuning phase: not those that the dictionaries were trained on
MEAN_ROWS = 64  #: of which the mean activation is taken
LONG, FINETUNED = "local, equal FLOPs", "local, finetuned"
MODES = {"local": {"local": 1.0}, "e2e": {"kl": 1.0}}


@dataclass(frozen=True)
class Setting:
    """A sweep: what is trained on what, and where the curves are compared."""

    subject: str
    tokens: str  #: as in toulmin.dictionaries.sources; paths are relative to the folder of shared data
    length: int
    shape: SweepShape
    sparsities: dict[str, tuple[float, ...]]
    l0: tuple[float, float]
    alive: tuple[float, float]
    cost: tuple[float, float]  #: range of CE increase over which the L0 needed is compared
    more_local: tuple[float, ...] = ()  #: sparsities added when the first curves were seen, where they left a gap
    seeds: int = 3
    scales: tuple[float, ...] = (0.33, 1.0, 3.0)
    tuned_at: dict[str, float] | None = None
    equal_flops: float = 0.0  #: how many times longer local runs must be to cost what end-to-end ones do; 0: left out
    downstream: float = 0.0  #: with it, also the mode e2e + downstream at half the KL coefficient
    finetune: float = 0.0  #: with it, local dictionaries are finetuned with KL + MSE for this share of the steps
    rows: int = 256
    eval_batch: int = 16
    micro_batches: int = 1
    dtype: str = "float32"
    compile: bool = False
    every: int = 20  #: steps from one checkpoint to the next
    skip_first: int = 0  #: positions of every row without a dictionary: see Objective
    skip_norm_above: float | None = None  #: tokens with a larger norm have none either; SmolLM2's median is 157
    centred: bool = False  #: all runs begin with tied weights and their origin at the mean activation
    per_group: int = 0  #: at most so many dictionaries trained together, for memory; 0: all of a seed


SETTINGS = {
    "story-4l": Setting(
        "embedded:story-4l", "stories", 64,
        SweepShape("L2.resid_pre", features=512, batch=32, steps=300, lr=3e-3),
        {"local": (1.0, 2.5, 5.0, 8.0, 12.0), "e2e": (0.15, 0.5, 1.2, 2.5, 6.0)},
        l0=(6.0, 40.0), alive=(100.0, 512.0), cost=(0.15, 1.0), tuned_at={"local": 5.0, "e2e": 1.2},
        equal_flops=2.9, finetune=0.1, rows=256,
    ),
    "stories260k": Setting(
        "file:data/stories260K/stories260K.bin", "file:data/text/tinystories_1000.json", 128,
        SweepShape("L2.resid_pre", features=512, batch=16, steps=300, lr=3e-3),
        {"local": (0.3, 1.0, 2.5, 5.0, 10.0), "e2e": (0.1, 0.4, 1.0, 2.5, 6.0)},
        l0=(6.0, 40.0), alive=(100.0, 512.0), cost=(0.15, 1.0), tuned_at={"local": 2.5, "e2e": 1.0},
        more_local=(0.45, 0.65),
        equal_flops=3.2, finetune=0.1, rows=128,
    ),
    "smollm2-cpu": Setting(
        "cached:smollm2-135m", "file:data/corpus/train-000.npy", 64,
        SweepShape("L15.resid_pre", features=1152, batch=4, steps=50, lr=1e-3),
        {"local": (3.0, 5.0, 7.5, 10.0, 13.0), "e2e": (0.4, 0.8, 1.6, 3.2, 6.4)},
        l0=(40.0, 300.0), alive=(200.0, 1152.0), cost=(0.5, 2.5), tuned_at={"local": 7.5, "e2e": 1.6},
        scales=(0.3, 1.0, 3.0), equal_flops=5.3, finetune=0.1, rows=16, eval_batch=4, dtype="bfloat16", per_group=5,
        skip_first=1, skip_norm_above=1570.0, centred=True,
    ),
    "smollm2-gpu": Setting(
        "cached:smollm2-135m", "dir:data/corpus", 512,
        SweepShape("L15.resid_pre", features=9216, batch=32, steps=1250, lr=1e-3),
        {"local": (1.0, 3.0, 6.0, 10.0, 16.0), "e2e": (0.05, 0.15, 0.4, 1.0, 2.5)},
        l0=(10.0, 200.0), alive=(1000.0, 9216.0), cost=(0.1, 1.0), tuned_at={"local": 6.0, "e2e": 0.4},
        equal_flops=4.4, downstream=2.5, finetune=0.1, rows=256, eval_batch=8, dtype="bfloat16",
        per_group=5, every=100, skip_first=1, skip_norm_above=1570.0, centred=True,
    ),
}  # fmt: skip
#: one seed, no tuning (the learning rate that an earlier sweep chose in both modes), no finetuning
SETTINGS["smollm2-cpu-small"] = replace(
    SETTINGS["smollm2-cpu"], seeds=1, tuned_at=None, finetune=0.0,
    shape=replace(SETTINGS["smollm2-cpu"].shape, steps=48),
    sparsities={"local": (3.0, 5.0, 7.5, 10.0, 13.0), "e2e": (0.4, 1.6, 6.4)},
)  # fmt: skip


class Piece:
    """Time that is left of this call."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    @property
    def over(self) -> bool:
        return time.monotonic() > self.end


class OutOfTimeError(Exception):
    """The piece is over; the checkpoint is written."""


def objective(mode: str, sparsity: float, setting: Setting) -> Objective:
    weights = {"kl": 0.5, "downstream": setting.downstream} if mode == "e2e+downstream" else MODES[mode]
    skip = {"skip_first": setting.skip_first, "skip_norm_above": setting.skip_norm_above}
    return Objective(sparsity=sparsity, **weights, **skip)  # type: ignore[arg-type]


def groups_of(setting: Setting, scales: dict[str, float]) -> dict[str, list[SweepRun]]:
    """Runs in groups that are trained together, seed by seed; the longer local runs of equal cost come last."""
    main: list[list[SweepRun]] = []
    longer: list[list[SweepRun]] = []
    more: list[list[SweepRun]] = []
    for seed in range(setting.seeds):
        runs = [
            SweepRun(mode, objective(mode, c, setting), seed, scales[mode])
            for mode, coefficients in modes_of(setting).items()
            for c in coefficients
        ]
        size = setting.per_group or len(runs)
        main += [runs[i : i + size] for i in range(0, len(runs), size)]
        if setting.more_local:
            added = [
                SweepRun("local", objective("local", c, setting), seed, scales["local"]) for c in setting.more_local
            ]
            more.append(added)
        if setting.equal_flops:
            long = [
                SweepRun(LONG, objective("local", c, setting), seed, scales["local"], setting.equal_flops)
                for c in setting.sparsities["local"]
            ]
            longer += [long[i : i + size] for i in range(0, len(long), size)]
    named = {f"group-{index:03d}": runs for index, runs in enumerate([*main, *longer])}
    added = {f"more-{index:03d}": runs for index, runs in enumerate(more)}
    first = list(named.items())
    return dict([*first[: len(main)], *added.items(), *first[len(main) :]])


def finetuned(run: SweepRun, setting: Setting) -> SweepRun:
    """A short phase of KL + MSE, KL rescaled to MSE's size, with the same sparsity penalty (Karvonen 2025)."""
    new = replace(run.objective, kl=1.0, balanced=True)
    return SweepRun(FINETUNED, new, run.seed, 0.3 * run.lr_scale, setting.finetune)


def modes_of(setting: Setting) -> dict[str, tuple[float, ...]]:
    modes = dict(setting.sparsities)
    if setting.downstream:
        modes["e2e+downstream"] = setting.sparsities["e2e"]
    return modes


def load_setting(
    name: str, shared: Path, device: str, model: str | None = None, tokens: str | None = None
) -> tuple[Setting, Transformer, TokenSplit]:
    setting = SETTINGS[name]
    setting = replace(setting, subject=model or setting.subject, tokens=tokens or setting.tokens)
    resolver = Resolver(base=shared)
    subject = load(setting.subject, resolver, dtype=getattr(torch, setting.dtype))
    subject.model.to(device)
    return setting, subject.model, split_tokens(setting.tokens, subject, setting.length, setting.rows, resolver)


@torch.no_grad()
def centre(model: Transformer, split: TokenSplit, setting: Setting) -> Tensor:
    """The mean activation of the site over the first training rows, without the tokens that are skipped."""
    tokens = split.training.rows(0, MEAN_ROWS).to(model.W_E.device)
    site = setting.shape.site
    x = clean_pass(model, tokens, [site], (), whole=False).activations[site]
    return x[Skip(setting.skip_first, setting.skip_norm_above).kept(x)].double().mean(0)


def centred_start(run: SweepRun, setting: Setting, mean: Tensor) -> Dictionary:
    """The first weights of a run: encoder and decoder tied, and their origin at the mean."""
    config = replace(setting.shape.config(len(mean)), start="tied")
    made = make_dictionary(config, run.seed).to(mean.device)
    made.centre(mean)
    return made


def sweep(
    name: str,
    out: Path,
    shared: Path,
    device: str,
    minutes: float,
    model_ref: str | None = None,
    tokens_ref: str | None = None,
) -> bool:
    """Work on a sweep for some minutes; whether it is done."""
    piece = Piece(minutes)
    setting, model, split = load_setting(name, shared, device, model_ref, tokens_ref)
    mean = centre(model, split, setting) if setting.centred else None
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    options = TrainingOptions(micro_batches=setting.micro_batches, compile=setting.compile)

    def report(group: str, done: int, total: int) -> None:
        print(f"{time.strftime('%H:%M:%S')} {group}: {done}/{total}", flush=True)
        if piece.over and done < total:
            raise OutOfTimeError

    def finished(
        label: str, runs: list[SweepRun], starts: dict[str, Dictionary] | None = None
    ) -> list[dict[str, object]]:
        path = folder / f"{label}.json"
        if not path.exists():
            if piece.over:
                raise OutOfTimeError
            first = AFTER if starts else 0
            if starts is None and mean is not None:
                starts = {run.name: centred_start(run, setting, mean) for run in runs}
            results = train_sweep(
                model, split, setting.shape, runs, workdir=folder / label, every=setting.every, report=report,
                options=options, eval_batch=setting.eval_batch, starts=starts, first_row=first,
            )  # fmt: skip
            found = [result_to_json(result) for result in results]
            if label.startswith("tune"):
                rows = split.evaluation()[: min(32, setting.rows)]
                for number, result in zip(found, results, strict=True):
                    held = {setting.shape.site: result.dictionary}
                    number["objective"] = held_out_loss(model, held, result.run.objective, rows)
            path.write_text(json.dumps(found, indent=1))
        return json.loads(path.read_text())

    try:
        scales = dict.fromkeys(modes_of(setting), 1.0)
        if setting.tuned_at is not None:
            for mode in scales:
                at = setting.tuned_at.get(mode, setting.tuned_at["e2e"])
                runs = [SweepRun(mode, objective(mode, at, setting), 1000, s, 0.5) for s in setting.scales]
                found = finished(f"tune-{mode}", runs)
                scales[mode] = float(min(found, key=lambda r: float(r["objective"]))["lr_scale"])  # type: ignore[arg-type]
        results: list[dict[str, object]] = []
        groups = groups_of(setting, scales)
        for label, runs in groups.items():
            results += finished(label, runs)
            (folder / "results.json").write_text(json.dumps(results, indent=1))
        for label, runs in (groups if setting.finetune else {}).items():
            local = [run for run in runs if run.mode == "local"]
            if local:
                trained = load_trained(model, setting.shape, runs, folder / label)
                done = dict(zip(runs, trained, strict=True))
                tuned = {run: finetuned(run, setting) for run in local}
                starts = {new.name: done[run] for run, new in tuned.items()}
                results += finished(f"finetune-{label.removeprefix('group-')}", list(tuned.values()), starts)
                (folder / "results.json").write_text(json.dumps(results, indent=1))
    except OutOfTimeError:
        return False
    return True


def report(name: str, out: Path) -> None:
    """The comparison of each mode with local."""
    setting = SETTINGS[name]
    results = json.loads((out / name / "results.json").read_text())
    for row in results:
        numbers = "  ".join(f"{k} {row[k]:.4g}" for k in ("ce_increase", "kl", "l0", "alive", "explained_variance"))
        print(f"{row['mode']:22s} seed {row['seed']} sparsity {row['sparsity']:<6g} {numbers}")

    def curves(mode: str, axis: str) -> dict[int, Curve]:
        seeds = {row["seed"]: [r for r in results if r["mode"] == mode and r["seed"] == row["seed"]] for row in results}
        return {
            seed: Curve([r[axis] for r in rows], [r["ce_increase"] for r in rows])  # type: ignore[arg-type]
            for seed, rows in seeds.items()
        }

    modes = list(dict.fromkeys(row["mode"] for row in results))
    if FINETUNED in modes:
        text = "share of the gap in CE increase from local to e2e that finetuning closes at equal L0"
        try:
            local, tuned, e2e = (curves(mode, "l0") for mode in ("local", FINETUNED, "e2e"))
            print(f"{text}: {gap_closed(local, tuned, e2e, *setting.l0)}")
        except FaultError as error:
            print(f"{text}: {error}")
    for base in [m for m in modes if m.startswith("local")]:
        for mode in [m for m in modes if not m.startswith("local")]:
            for label, axis, ends, swapped in (
                ("CE increase at equal L0", "l0", setting.l0, False),
                ("L0 at equal CE increase", "l0", setting.cost, True),
                ("CE increase at equal alive features", "alive", setting.alive, False),
                ("alive features at equal CE increase", "alive", setting.cost, True),
            ):
                try:
                    found = mean_ratio(curves(base, axis), curves(mode, axis), *ends, swapped=swapped)
                    print(f"{mode} / {base}: {label}: {found}")
                except FaultError as error:
                    print(f"{mode} / {base}: {label}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=sorted(SETTINGS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder of shared data")
    parser.add_argument("--model", help="the subject, in place of the setting's: dir:FOLDER say")
    parser.add_argument("--tokens", help="the tokens, in place of the setting's: dir:FOLDER say")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print the comparison of what is done")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.report and not sweep(
        options.setting,
        options.out,
        options.shared.resolve(),
        options.device,
        options.minutes,
        options.model,
        options.tokens,
    ):
        print("not done: call again to go on")
        return
    report(options.setting, options.out)


if __name__ == "__main__":
    main()
