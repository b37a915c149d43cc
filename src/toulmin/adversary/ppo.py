"""One update of proximal policy optimisation (Schulman et al. 2017, https://arxiv.org/abs/1707.06347).

With r = pi(a) / pi_old(a) and the advantages A normalised to mean 0 and standard deviation 1 over the update, minimised
over minibatches is

    - mean min(r A, clip(r, 1 - c, 1 + c) A) + w_v mean (v - target)^2 - w_e mean H(pi)

where v = p(win) - p(loss) of the value head, and pi the softmax over the legal moves of the policy at the temperature
at which the moves were drawn. Passes over the data end where mean (r - 1 - log r), an estimate of
KL(pi_old || pi), exceeds 1.5 times its target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from toulmin.adversary.episodes import Decisions
from toulmin.adversary.settings import PpoSettings
from toulmin.go import Extent, Heads
from toulmin.training import State, generator_at

PpoStep = Callable[[State, Decisions], Mapping[str, Tensor]]


def masked_logits(heads: Heads, legal: Tensor) -> Float[Tensor, "B A"]:
    """The policy's logits of the points in rows and the pass last, -inf where illegal."""
    logits = torch.cat([heads.policy[:, 0].flatten(1), heads.pass_policy[:, :1]], dim=1)
    return logits.masked_fill(~legal, -torch.inf)


def mixed_sizes(planes: NDArray[np.float32]) -> bool:
    """Whether some of the boards are smaller than the tensor (N, Y, X, 22): their last point is not on the board."""
    return bool((planes[:, -1, -1, 0] == 0).any())


def network_inputs(planes: Tensor, numbers: Tensor, mixed: bool = False) -> tuple[Tensor, Tensor, Extent]:
    """What a network takes, of planes (B, Y, X, 22) that are all board, or ``mixed``: of boards in their corner."""
    if not mixed:
        area = torch.full((len(planes), 1), float(planes.shape[1] * planes.shape[2]), device=planes.device)
        return planes.permute(0, 3, 1, 2), numbers, Extent.of(area)
    area = planes[..., 0].sum(dim=(1, 2))[:, None]
    return planes.permute(0, 3, 1, 2), numbers, Extent.of(area, planes[..., 0][:, None])


def ppo_step(settings: PpoSettings, device: torch.device, seed: int) -> PpoStep:
    """A step for :func:`toulmin.training.fit`: all epochs over the decisions of one batch.

    The order of the minibatches is a function of the seed and the number of the update.
    """

    def step(state: State, batch: Decisions) -> Mapping[str, Tensor]:
        generator = generator_at(seed, state.step)
        columns, mixed = batch._asdict(), mixed_sizes(batch.planes)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(one)).to(device) for name, one in columns.items()}
        advantage = tensors["advantage"]
        tensors["advantage"] = (advantage - advantage.mean()) / (advantage.std(unbiased=False) + 1e-8)
        done: list[dict[str, Tensor]] = []
        for _ in range(settings.epochs):
            moved: list[Tensor] = []
            order = torch.from_numpy(generator.permutation(len(batch.action))).to(device)
            for rows in order.split(settings.minibatch):
                losses = _losses(state, {name: one[rows] for name, one in tensors.items()}, settings, mixed)
                state.optimizer.zero_grad(set_to_none=True)
                losses["loss"].backward()
                torch.nn.utils.clip_grad_norm_(state.module.parameters(), settings.gradient_clip)
                state.optimizer.step()
                done.append({name: value.detach() for name, value in losses.items()})
                moved.append(losses["kl"].detach())
            if float(torch.stack(moved).mean()) > 1.5 * settings.kl_target:
                break
        return {name: torch.stack([one[name] for one in done]).mean() for name in done[0]}

    return step


def _losses(state: State, rows: Mapping[str, Tensor], settings: PpoSettings, mixed: bool) -> dict[str, Tensor]:
    low = settings.precision == "bfloat16"
    with torch.autocast(rows["planes"].device.type, torch.bfloat16, enabled=low):
        heads: Heads = state.module(*network_inputs(rows["planes"], rows["numbers"], mixed))
    if low:
        heads = Heads(*(one.float() for one in heads))
    logs = torch.log_softmax(masked_logits(heads, rows["legal"]) / settings.temperature, dim=1)
    log_ratio = logs.gather(1, rows["action"][:, None])[:, 0] - rows["log_chance"]
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
    gain = torch.minimum(ratio * rows["advantage"], clipped * rows["advantage"]).mean()
    chances = torch.softmax(heads.value[:, :2], dim=1)
    value_loss = (chances[:, 0] - chances[:, 1] - rows["target"]).square().mean()
    entropy = -(logs.exp() * logs.masked_fill(~rows["legal"], 0.0)).sum(dim=1).mean()
    return {
        "loss": settings.value_weight * value_loss - gain - settings.entropy_weight * entropy,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": (ratio - 1 - log_ratio).mean(),
    }
