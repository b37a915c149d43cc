"""Training dictionaries: several insertions from one pass of the model, on the project's one loop.

    for each batch of tokens:
        run the model once, without dictionaries: the prefixes, the activations to compare with, the output
        for each insertion: run from its prefix with its dictionaries in place, its losses, backward
        clip and update each insertion by itself

So insertions trained together are what each would be alone. The model's parameters are in no graph. With micro-batches
the losses' means are weighted, so that k of them give the gradient of one batch (but for what is defined by a batch:
BatchTopK's threshold, AuxK's normalisation, ``balanced``, and how many tokens ``skip_norm_above`` leaves). Under
``torch.distributed`` each process takes its share of every batch and gradients are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.insertion import ACTIVATIONS, Insertion, pull_back
from toulmin.dictionaries.objective import Inserted, losses, needed_names
from toulmin.dictionaries.output_loss import original_output
from toulmin.dictionaries.positions import Skip
from toulmin.dictionaries.resampling import resample_dead
from toulmin.dictionaries.sites import CleanPass, clean_pass, find_sites, frozen
from toulmin.faults import Fault, FaultError
from toulmin.subjects import Transformer
from toulmin.training import Batches, Callback, Checkpoint, Schedule, State, fit

Part = Tensor | tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _ReadOnly(Checkpoint):
    """Resumes like the others, and leaves writing to the first process."""

    def save(self, state: State, batches: Batches[Any]) -> Any:
        """Nothing."""
        return self.path(state.step)


@dataclass(frozen=True)
class TrainingOptions:
    """How a batch is computed.

    :param micro_batches: parts that a batch is divided into, for memory.
    :param betas: of Adam.
    :param resample_every: steps between resamplings of dead features (Bricken et al. 2023); 0: never.
    :param alive_window: tokens over which the metric ``NAME/alive/site`` counts the features that were active; 0: it is
        not counted, which saves a pass over the codes at every step.
    :param compile: let ``torch.compile`` fuse the model's layers (for GPUs).
    """

    micro_batches: int = 1
    betas: tuple[float, float] = (0.9, 0.999)
    resample_every: int = 0
    alive_window: int = 0
    compile: bool = False


def train_dictionaries(
    model: Transformer,
    insertions: Sequence[Insertion],
    batches: Batches[Tensor],
    schedule: Schedule,
    *,
    options: TrainingOptions | None = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Sequence[Callback] = (),
    seed: int = 0,
) -> dict[str, float]:
    """Train every insertion on batches (B, T) of tokens, in place; the last step's metrics.

    Metrics are ``NAME/term/site``, ``NAME/l0/site``, ``NAME/alive/site``, ``NAME/grad_norm`` and ``loss`` (the sum over
    insertions).

    :raises FaultError: (``dictionaries.insertion``) two insertions of one name or with one dictionary; unknown sites;
        (``dictionaries.objective``) ``skip_norm_above`` with ``compile``, or with no token below it; what
        :func:`toulmin.training.fit` raises.
    """
    options = options or TrainingOptions()
    faults = [
        Fault("dictionaries.objective", "cannot be compiled: the number of tokens changes", name="skip_norm_above")
        for i in insertions
        if options.compile and i.objective.skip_norm_above is not None
    ]
    if faults:
        raise FaultError(faults)
    sites = {i.name: find_sites(i.dictionaries, model.config) for i in insertions}
    names = {n for i in insertions for n in needed_names(sites[i.name], i.objective, model.config)}
    starts = {min(sites[i.name]).layer for i in insertions if i.objective.end_to_end}
    whole, with_kl = (any(getattr(i.objective, part) for i in insertions) for part in ("of_output", "kl"))
    device = model.W_E.device

    def prepare(part: Part) -> tuple[CleanPass, Any]:
        tokens = part if isinstance(part, Tensor) else part[0]
        clean = clean_pass(model, tokens.to(device, non_blocking=True), names, starts, whole=whole)
        if clean.final is None or not with_kl:
            return clean, None
        return clean, original_output(model, clean.final, share=len(insertions) > 1)

    with frozen(model):
        return _fit(model, insertions, batches, schedule, prepare, options, checkpoint, callbacks, seed)


def train_on_activations(
    insertions: Sequence[Insertion],
    batches: Batches[Any],
    schedule: Schedule,
    *,
    options: TrainingOptions | None = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Sequence[Callback] = (),
    seed: int = 0,
) -> dict[str, float]:
    """Train on activations from anywhere: batches [N, D], or pairs (input [N, D], target [N, O]) for transcoders.

    The site of every dictionary is called ``activations``, and objectives are local.

    :raises FaultError: (``dictionaries.insertion``) an objective that needs a model; as :func:`train_dictionaries`.
    """
    faults = [
        Fault("dictionaries.insertion", "without a model only sparsity, local and aux can be had", name=i.name)
        for i in insertions
        if i.objective.end_to_end
        or i.objective.original
        or i.objective.skip != Skip()
        or set(i.dictionaries) != {ACTIVATIONS}
    ]
    if faults:
        raise FaultError(faults)

    def prepare(part: Part) -> tuple[CleanPass, Any]:
        x, target = (part, part) if isinstance(part, Tensor) else part
        kept = {ACTIVATIONS: x, f"{ACTIVATIONS} target": target}
        return CleanPass(x.new_zeros(1, 1, dtype=torch.long), kept, {}, None), None

    return _fit(None, insertions, batches, schedule, prepare, options or TrainingOptions(), checkpoint, callbacks, seed)


def _fit(
    model: Transformer | None,
    insertions: Sequence[Insertion],
    batches: Batches[Any],
    schedule: Schedule,
    prepare: Callable[[Part], tuple[CleanPass, Any]],
    options: TrainingOptions,
    checkpoint: Checkpoint | None,
    callbacks: Sequence[Callback],
    seed: int,
) -> dict[str, float]:
    _check_distinct(insertions)
    modules = nn.ModuleDict({i.name: nn.ModuleList(i.dictionaries.values()) for i in insertions})
    optimizers: dict[str, torch.optim.Optimizer] = {}
    kept: dict[str, Tensor] = {}
    for i in insertions:
        fused = next(modules[i.name].parameters()).device.type in ("cpu", "cuda")
        group = {"params": i.trained(), "lr_scale": i.lr_scale}
        optimizers[i.name] = torch.optim.Adam([group], lr=schedule.lr, betas=options.betas, fused=fused)
        for site, dictionary in i.dictionaries.items():
            if i.objective.aux or options.resample_every or options.alive_window:
                idle = torch.zeros(dictionary.config.n_features, device=dictionary.W_enc.device)
                kept[f"idle/{i.name}/{site}"] = idle
                kept[f"seen/{i.name}/{site}"] = idle.new_zeros(())
            if i.control == "soft_frozen_decoder":
                kept[f"start/{i.name}/{site}"] = dictionary.W_dec.detach().clone()
    generator = torch.Generator().manual_seed(seed)
    state = State(modules, optimizers, generators={"resampling": generator}, tensors=kept)
    if checkpoint is not None:
        run = {**checkpoint.run, "insertions": {i.name: i.describe() for i in insertions}, "seed": seed}
        writer = Checkpoint if _rank() == 0 else _ReadOnly
        checkpoint = writer(checkpoint.folder, checkpoint.every, checkpoint.keep, run)
    step = _Step(model, insertions, schedule, prepare, options, callbacks)
    frozen_parameters = [p for i in insertions for p in i.held()]
    for parameter in frozen_parameters:
        parameter.requires_grad_(False)
    try:
        return fit(step, state, batches, schedule, checkpoint, callbacks if _rank() == 0 else ())
    finally:
        for parameter in frozen_parameters:
            parameter.requires_grad_(True)


def _check_distinct(insertions: Sequence[Insertion]) -> None:
    faults: list[Fault] = []
    seen: dict[int, str] = {}
    for index, insertion in enumerate(insertions):
        if insertion.name in {other.name for other in insertions[:index]}:
            faults.append(Fault("dictionaries.insertion", "two insertions have this name", name=insertion.name))
        for dictionary in insertion.dictionaries.values():
            if id(dictionary) in seen:
                text = f"shares a dictionary with {seen[id(dictionary)]}"
                faults.append(Fault("dictionaries.insertion", text, name=insertion.name))
            seen[id(dictionary)] = insertion.name
    if not insertions:
        faults.append(Fault("dictionaries.insertion", "there is nothing to train"))
    if faults:
        raise FaultError(faults)


class _Step:
    """One update of every insertion."""

    def __init__(
        self,
        model: Transformer | None,
        insertions: Sequence[Insertion],
        schedule: Schedule,
        prepare: Callable[[Part], tuple[CleanPass, Any]],
        options: TrainingOptions,
        callbacks: Sequence[Callback],
    ) -> None:
        self.model, self.insertions, self.prepare, self.options = model, insertions, prepare, options
        self.steps, self.every = schedule.steps, [callback.every for callback in callbacks]
        self.losses = torch.compile(losses, dynamic=False) if options.compile else losses

    def __call__(self, state: State, batch: Part) -> Mapping[str, Tensor]:
        done = state.step + 1
        log = done == self.steps or any(done % every == 0 for every in self.every)
        for optimizer in state.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        metrics: dict[str, Tensor] = {}
        mine = _divide(batch, _world(), _rank())
        parts = [_divide(mine, self.options.micro_batches, k) for k in range(self.options.micro_batches)]
        size = sum(_rows(part) for part in parts)
        for part in parts:
            clean, original = self.prepare(part)
            share = _rows(part) / size
            for insertion in self.insertions:
                self._backward(state, insertion, clean, original, share, metrics, log=log)
        for insertion in self.insertions:
            free = insertion.trained()
            _average([p.grad for p in free if p.grad is not None])
            if insertion.clip is not None:
                norm = nn.utils.clip_grad_norm_(free, insertion.clip)
                metrics[f"{insertion.name}/grad_norm"] = norm
            state.optimizers[insertion.name].step()
            _average([buffer for d in insertion.dictionaries.values() for buffer in d.buffers()])
            if insertion.control == "soft_frozen_decoder":
                for site, dictionary in insertion.dictionaries.items():
                    pull_back(dictionary.W_dec.data, state.tensors[f"start/{insertion.name}/{site}"])
        every = self.options.resample_every
        if every and done % every == 0 and done < self.steps:
            self._resample(state, parts[0])
        return metrics

    def _backward(
        self,
        state: State,
        insertion: Insertion,
        clean: CleanPass,
        original: Any,
        share: float,
        metrics: dict[str, Tensor],
        *,
        log: bool,
    ) -> None:
        objective, dead = insertion.objective, None
        if objective.aux:
            idle = {site: state.tensors[f"idle/{insertion.name}/{site}"] for site in insertion.dictionaries}
            dead = {site: since >= objective.dead_after for site, since in idle.items()}
        total, terms, found = self.losses(self.model, insertion.dictionaries, objective, clean, original, dead)
        (total * share).backward()

        def note(name: str, value: Tensor) -> None:
            metrics[name] = value * share + metrics[name] if name in metrics else value * share

        note("loss", total.detach())
        for name, value in terms.items():
            note(f"{insertion.name}/{name}", value)
        for site, made in found.items():
            if log:
                active = torch.count_nonzero(made.codes.detach() > 0)  # six times as fast as a sum over booleans
                note(f"{insertion.name}/l0/{site}", active / made.codes[..., 0].numel())
            key = f"idle/{insertion.name}/{site}"
            if key in state.tensors:
                idle, seen = state.tensors[key], state.tensors[f"seen/{insertion.name}/{site}"]
                _count_idle(idle, seen, made)
                if log and self.options.alive_window:  # a feature that was never active has been idle as long as seen
                    alive = idle < seen.clamp(max=self.options.alive_window)
                    metrics[f"{insertion.name}/alive/{site}"] = torch.count_nonzero(alive)

    def _resample(self, state: State, part: Part) -> None:
        clean, original = self.prepare(part)
        for insertion in self.insertions:
            if insertion.control != "none":
                continue
            with torch.no_grad():
                found = losses(self.model, insertion.dictionaries, insertion.objective, clean, original)[2]
            for site, dictionary in insertion.dictionaries.items():
                idle = state.tensors[f"idle/{insertion.name}/{site}"]
                optimizer = state.optimizers[insertion.name]
                dead = idle >= insertion.objective.dead_after
                resample_dead(dictionary, found[site], dead, optimizer, state.generators["resampling"])
                _copy_from_first(dictionary, optimizer)
                idle.masked_fill_(dead, 0)


def _rows(part: Part) -> int:
    return len(part if isinstance(part, Tensor) else part[0])


def _divide(part: Part, count: int, index: int) -> Part:
    """Part ``index`` of ``count``, as equal as they can be.

    :raises FaultError: (``dictionaries.batch``) fewer rows than parts.
    """
    if count == 1:
        return part
    rows = _rows(part)
    if rows < count:
        raise FaultError(Fault("dictionaries.batch", f"a batch of {rows} rows cannot be divided into {count} parts"))
    where = slice(rows * index // count, rows * (index + 1) // count)
    return part[where] if isinstance(part, Tensor) else (part[0][where], part[1][where])


@torch.no_grad()
def _count_idle(idle: Tensor, seen: Tensor, made: Inserted) -> None:
    codes = made.codes.flatten(0, -2)
    fired = (codes > 0).any(0)
    if _world() > 1:
        both = fired.to(torch.int32)
        torch.distributed.all_reduce(both, torch.distributed.ReduceOp.MAX)
        fired = both > 0
    seen.add_(len(codes) * _world())
    idle.add_(len(codes) * _world()).masked_fill_(fired, 0)


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _world() -> int:
    return torch.distributed.get_world_size() if _distributed() else 1


def _rank() -> int:
    return torch.distributed.get_rank() if _distributed() else 0


def _copy_from_first(dictionary: Dictionary, optimizer: torch.optim.Optimizer) -> None:
    """Every process goes on with what the first one resampled."""
    if _world() > 1:
        for parameter in dictionary.parameters():
            torch.distributed.broadcast(parameter.data, 0)
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.ndim:
                    torch.distributed.broadcast(value, 0)


def _average(gradients: list[Tensor]) -> None:
    """The mean over the processes of each gradient or buffer, in one message."""
    if _world() == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= _world()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
