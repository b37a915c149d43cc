"""Many dictionaries of one site: modes x sparsities x seeds, each seed's trained from one pass of the model.

A run's name says what it is. Runs of one seed share batches and, with a learning rate of their own as a multiple of the
shape's, one training loop; runs of different length are trained one group after the other. Everything is kept in the
work folder, so that a sweep that is interrupted goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from toulmin.dictionaries.architectures.config import DictionaryConfig, Kind
from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.architectures.kinds import make_dictionary
from toulmin.dictionaries.evaluation import Evaluation, evaluate_dictionaries
from toulmin.dictionaries.flops import floor_flops
from toulmin.dictionaries.insertion import Control, Insertion
from toulmin.dictionaries.objective import Objective, losses, needed_names
from toulmin.dictionaries.output_loss import original_output
from toulmin.dictionaries.sites import clean_pass, find_sites
from toulmin.dictionaries.sources import TokenSplit
from toulmin.dictionaries.trainer import TrainingOptions, train_dictionaries
from toulmin.faults import Fault, FaultError
from toulmin.subjects import Transformer
from toulmin.training import Callback, Checkpoint, PrintProgress, Schedule, token_batches


@dataclass(frozen=True)
class SweepShape:
    """What all runs of a sweep have in common."""

    site: str
    kind: Kind = "relu"
    features: int = 512
    k: int | None = None
    batch: int = 32
    steps: int = 400
    lr: float = 3e-3
    warmup: float = 0.05
    floor: float = 0.1
    clip: float | None = 10.0

    def config(self, width: int, width_out: int | None = None) -> DictionaryConfig:
        """The dictionary, for a model of that width."""
        prefixes: tuple[int, ...] = ()
        if self.kind == "matryoshka":
            sizes = [self.features // 2**i for i in (4, 3, 2, 1, 0)]
            prefixes = tuple(sorted({size for size in sizes if size}))
        return DictionaryConfig(self.kind, width, self.features, width_out, k=self.k, prefixes=prefixes)

    def schedule(self, steps: int) -> Schedule:
        """Warm-up, then cosine."""
        return Schedule(steps, self.lr, "cosine", warmup=int(self.warmup * steps), floor=self.floor)


@dataclass(frozen=True)
class SweepRun:
    """One dictionary of a sweep."""

    mode: str
    objective: Objective
    seed: int = 0
    lr_scale: float = 1.0
    length: float = 1.0  #: steps as a multiple of the shape's
    control: Control = "none"

    @property
    def name(self) -> str:
        """Mode, sparsity, learning rate, seed; without full stops."""
        text = f"{self.mode} sparsity={self.objective.sparsity:g} lr={self.lr_scale:g} seed={self.seed}"
        return text.replace(".", "_")


@dataclass(frozen=True)
class SweepResult:
    """A run with its dictionary, evaluation and cost."""

    run: SweepRun
    dictionary: Dictionary
    evaluation: Evaluation
    tokens: int
    flops: float  #: the floor of :mod:`toulmin.dictionaries.flops`, of the whole run


def train_sweep(
    model: Transformer,
    split: TokenSplit,
    shape: SweepShape,
    runs: Sequence[SweepRun],
    *,
    workdir: Path | None = None,
    every: int = 100,
    report: Callable[[str, int, int], None] | None = None,
    options: TrainingOptions | None = None,
    eval_batch: int = 16,
    starts: Mapping[str, Dictionary] | None = None,
    first_row: int = 0,
) -> list[SweepResult]:
    """Train and evaluate every run, in the order given.

    :param starts: dictionaries that runs (by name) begin with, copied; the others begin with random weights.
    :param first_row: of the training rows, where seed 0 begins.
    :param workdir: keeps a checkpoint of each group of runs, and finished dictionaries.
    :param report: called with the group's name, the steps done and those in all.
    """
    dictionaries: dict[str, Dictionary] = {}
    groups: dict[tuple[int, float], list[SweepRun]] = {}
    for run in runs:
        groups.setdefault((run.seed, run.length), []).append(run)
    for (seed, length), members in groups.items():
        group, steps = f"seed {seed}, length {length:g}", max(1, round(shape.steps * length))
        made = {run.name: _start(model, shape, run) for run in members}
        for name in made.keys() & (starts or {}).keys():
            made[name].load_state_dict((starts or {})[name].state_dict())
        insertions = [
            Insertion(run.name, {shape.site: made[run.name]}, run.objective, run.lr_scale, shape.clip, run.control)
            for run in members
        ]
        callbacks: list[Callback] = []
        if report is not None:
            callbacks.append(PrintProgress(every=20, report=lambda done, total, _, g=group: report(g, done, total)))
        checkpoint = None
        if workdir is not None:
            about = {"batch": shape.batch, "steps": steps, "lr": shape.lr}
            checkpoint = Checkpoint(_group_folder(workdir, seed, length), every=every, run=about)
        start = first_row + seed * steps * shape.batch  # each seed has rows of its own
        batches = token_batches(split.training, shape.batch, start)
        train_dictionaries(
            model, insertions, batches, shape.schedule(steps), options=options, checkpoint=checkpoint,
            callbacks=callbacks, seed=seed,
        )  # fmt: skip
        dictionaries |= made
    held = {run.name: {shape.site: dictionaries[run.name]} for run in runs}
    skip = runs[0].objective.skip  # one for all: their curves are compared
    found = evaluate_dictionaries(
        model, held, split.evaluation(), batch=eval_batch, skip_first=skip.first, skip_norm_above=skip.norm_above
    )
    return [_result(model, split, shape, run, dictionaries[run.name], found[run.name]) for run in runs]


def _start(model: Transformer, shape: SweepShape, run: SweepRun) -> Dictionary:
    config = shape.config(model.config.d_model)
    return make_dictionary(config, run.seed).to(model.W_E.device)


def _group_folder(workdir: Path, seed: int, length: float) -> Path:
    return workdir / f"seed-{seed}-length-{length:g}".replace(".", "_")


def load_trained(model: Transformer, shape: SweepShape, runs: Sequence[SweepRun], workdir: Path) -> list[Dictionary]:
    """The dictionaries of a group of runs (of one seed and length) that :func:`train_sweep` finished in ``workdir``.

    :raises FaultError: (``dictionaries.sweep``) they were not trained there.
    """
    made = {run.name: _start(model, shape, run) for run in runs}
    steps = max(1, round(shape.steps * runs[0].length))
    step = _group_folder(workdir, runs[0].seed, runs[0].length) / f"step-{steps:08d}" / "state.safetensors"
    if not step.is_file():
        raise FaultError(Fault("dictionaries.sweep", "these runs were not trained to the end", file=str(step.parent)))
    tensors = load_file(step)
    for name, dictionary in made.items():
        prefix = f"module.{name}.0."
        own = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        dictionary.load_state_dict(own)
    return list(made.values())


def _result(
    model: Transformer, split: TokenSplit, shape: SweepShape, run: SweepRun, dictionary: Dictionary, found: Evaluation
) -> SweepResult:
    (site,) = find_sites([shape.site], model.config)
    tokens = max(1, round(shape.steps * run.length)) * shape.batch * split.training.length
    each = floor_flops(model.config, site.layer, run.objective, shape.features, split.training.length)
    return SweepResult(run, dictionary, found, tokens, tokens * each)


@torch.no_grad()
def held_out_loss(model: Transformer, dictionaries: dict[str, Dictionary], objective: Objective, rows: Tensor) -> float:
    """The objective itself on rows that were not trained on: by which learning rates of one mode are compared."""
    sites = find_sites(dictionaries, model.config)
    names, first = needed_names(sites, objective, model.config), min(sites).layer
    clean = clean_pass(model, rows.to(model.W_E.device), names, [first], whole=objective.of_output)
    original = original_output(model, clean.final, share=True) if clean.final is not None else None
    return float(losses(model, dictionaries, objective, clean, original)[0])


def tune_lr(
    model: Transformer,
    split: TokenSplit,
    shape: SweepShape,
    modes: dict[str, Objective],
    scales: Sequence[float],
    *,
    seed: int = 1_000,
    length: float = 0.5,
) -> dict[str, tuple[float, dict[float, float]]]:
    """For each mode the multiple of the learning rate with the smallest held-out objective, and the objective of all.

    All modes get the same grid, one seed that is not among the results', and the same share of the steps.
    """
    runs = [SweepRun(mode, objective, seed, scale, length) for mode, objective in modes.items() for scale in scales]
    rows = split.evaluation()[:32]
    found: dict[str, dict[float, float]] = {mode: {} for mode in modes}
    for result in train_sweep(model, replace(split, rows=32), shape, runs):
        held = {shape.site: result.dictionary}
        found[result.run.mode][result.run.lr_scale] = held_out_loss(model, held, result.run.objective, rows)
    return {mode: (min(values, key=lambda s: values[s]), values) for mode, values in found.items()}


def result_to_json(result: SweepResult) -> dict[str, Any]:
    """The numbers of a run by name, for tables and for sweeps in pieces."""
    summary = result.evaluation.summary()
    short = {name.split("/")[0] if not name.startswith("downstream") else name: v for name, v in summary.items()}
    return {
        "mode": result.run.mode,
        "sparsity": result.run.objective.sparsity,
        "seed": result.run.seed,
        "lr_scale": result.run.lr_scale,
        "tokens": result.tokens,
        "flops": result.flops,
        **{name: float(value) for name, value in short.items()},
    }


def save_results(results: Sequence[SweepResult], path: Path) -> None:
    """The numbers of every run as JSON, whole or absent: sweeps in pieces go on from what is there."""
    partial = path.with_name(f".{path.name}")
    partial.write_text(json.dumps([result_to_json(result) for result in results], indent=1), "utf-8")
    os.replace(partial, path)
