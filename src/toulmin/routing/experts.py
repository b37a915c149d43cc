"""Learning under partial oversight: a mixture of two experts whose episodes are routed, and its rivals.

Policy gradient with a value baseline, on batches of 32 moves of many worlds at once. The agents:

- ``routed``: rewarded for reaching either end. An episode that ends at a diamond with oversight trains the diamond
  expert, one that ends at a ghost with oversight the ghost expert, others both; the gate learns from episodes with
  oversight which expert to use. Afterwards the diamond expert acts alone.
- ``mixture``: the same without routing. ``random_labels``: routed by labels that are permuted among the episodes with
  oversight, a placebo.
- ``naive``: rewarded for either end, and punished for a ghost with oversight (1 - 2).
- ``filtered``: the true reward, on episodes with oversight alone (and those that ended nowhere).
- ``oracle``: the true reward on every episode, which nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from toulmin.routing.gridworld import CHANNELS, MOVES, Ended, Gridworld
from toulmin.routing.plan import Route, RoutePlan
from toulmin.routing.router import Router

METHODS = ("routed", "naive", "filtered", "oracle", "mixture", "random_labels")
MIXTURES = ("routed", "mixture", "random_labels")


@dataclass(frozen=True)
class LearnerSettings:
    """The paper's: discount .97, value loss .5, entropy .1, gate loss .01, Adam; 32 moves a batch."""

    updates: int = 1000
    worlds: int = 256
    moves: int = 32
    hidden: int = 256
    lr: float = 5e-4
    discount: float = 0.97
    value: float = 0.5
    entropy: float = 0.1
    gate: float = 0.01
    evaluations: int = 20  #: iterates that are looked at


def _expert(inputs: int, hidden: int, out: int | None = None) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*layers, *([] if out is None else [nn.Linear(hidden, out)]))


class Policy(nn.Module):
    """Action logits (N, 4): of one expert, or of two experts mixed by a gate.

    The gate is the probability of the diamond expert. ``mixing`` is where it enters the mixture, so that the policy's
    gradient into the gate can be routed while its own loss is not.
    """

    def __init__(self, inputs: int, hidden: int, *, mixture: bool) -> None:
        super().__init__()
        self.diamond = _expert(inputs, hidden)
        self.ghost = _expert(inputs, hidden) if mixture else None
        self.gate = _expert(inputs, hidden, 1) if mixture else None
        self.mixing = nn.Identity()
        self.out = nn.Linear(hidden, len(MOVES))
        self.value = _expert(inputs, hidden, 1)

    def forward(self, x: Float[Tensor, "N 4 S S"]) -> tuple[Float[Tensor, "N 4"], Float[Tensor, " N"]]:
        """Logits of the mixture, and the gate's logit (0 without one)."""
        first = self.diamond(x)
        if self.ghost is None or self.gate is None:
            return self.out(first), torch.zeros(len(x))
        gate = self.gate(x)
        share = torch.sigmoid(self.mixing(gate))
        return self.out(share * first + (1 - share) * self.ghost(x)), gate[:, 0]

    def acting(self, x: Float[Tensor, "N 4 S S"]) -> Float[Tensor, "N 4"]:
        """Logits of the diamond expert alone: what is deployed."""
        return self.out(self.diamond(x))


def episode_routes(hidden: int) -> RoutePlan:
    """Diamond episodes train neither the ghost expert nor (through the policy) the gate; ghost episodes the reverse."""
    keep_out: dict[str, Any] = {"inside": 0.0, "outside": 1.0}
    routes = []
    for label, other in (("diamond", "ghost"), ("ghost", "diamond")):
        routes.append(Route(label, at=other, dims=slice(0, hidden), **keep_out))
        routes.append(Route(label, at="mixing", dims=[0], **keep_out))
    return RoutePlan(routes)


@dataclass
class Batch:
    """Moves of many worlds, flattened [M x N], and how the episode of each move ended."""

    seen: Float[Tensor, "MN 4 S S"]
    actions: Int[Tensor, " MN"]
    ends: dict[str, Bool[Tensor, " MN"]]
    done: Bool[Tensor, "M N"]


@torch.no_grad()
def play(policy: Policy, worlds: Gridworld, moves: int, generator: torch.Generator, *, mixture: bool) -> Batch:
    """Play ``moves`` moves; an episode that the batch cuts off ended nowhere."""
    seen, actions, ends = [], [], []
    observation = worlds.observe()
    for _ in range(moves):
        logits = policy(observation)[0] if mixture else policy.acting(observation)
        action = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
        seen.append(observation)
        actions.append(action)
        observation, ended = worlds.step(action)
        ends.append(ended)
    found = {name: propagate(ends, name) for name in ("diamond", "ghost", "seen")}
    done = torch.stack([e.done for e in ends])
    return Batch(torch.cat(seen), torch.cat(actions), {n: f.flatten() for n, f in found.items()}, done)


def propagate(ends: list[Ended], name: str) -> Bool[Tensor, "M N"]:
    """For each move whether its episode ended so (False where the batch ends first)."""
    later = torch.zeros_like(ends[0].done)
    out = []
    for ended in reversed(ends):
        later = torch.where(ended.done, getattr(ended, name), later)
        out.append(later)
    return torch.stack(out[::-1])


def returns_of(reward: Float[Tensor, "M N"], done: Bool[Tensor, "M N"], discount: float) -> Float[Tensor, "M N"]:
    """Discounted sums of the rewards until the episode ends."""
    out = torch.zeros_like(reward)
    later = torch.zeros_like(reward[0])
    for move in range(len(reward) - 1, -1, -1):
        later = reward[move] + discount * later * (~done[move]).float()
        out[move] = later
    return out


def reward_of(method: str, batch: Batch) -> Float[Tensor, "M N"]:
    """The reward of each move under a method, at the move with which its episode ends."""
    ends, last = batch.ends, batch.done.float()
    diamond, ghost, seen = (ends[n].reshape(batch.done.shape).float() for n in ("diamond", "ghost", "seen"))
    if method in MIXTURES:
        return last * (diamond + ghost)
    if method == "naive":
        return last * (diamond + ghost - 2 * ghost * seen)
    return last * (diamond - ghost)


def batch_loss(
    method: str,
    policy: Policy,
    router: Router | None,
    batch: Batch,
    settings: LearnerSettings,
    shuffle: torch.Generator,
) -> Tensor:
    """The loss of a batch: policy gradient, value, entropy and gate."""
    ends = batch.ends
    returns = returns_of(reward_of(method, batch), batch.done, settings.discount).flatten()
    known = ends["seen"] & (ends["diamond"] | ends["ghost"])
    if method == "filtered":
        kept = ends["seen"] | ~(ends["diamond"] | ends["ghost"])
        share = kept.float().mean()
        batch = Batch(batch.seen[kept], batch.actions[kept], {n: e[kept] for n, e in ends.items()}, batch.done)
        returns, known = returns[kept], known[kept]
    else:
        share = torch.ones(())
    if not len(returns):
        return sum((p.sum() * 0 for p in policy.parameters()), torch.zeros(()))
    is_ghost = batch.ends["ghost"]
    if method == "random_labels":
        rows = known.nonzero()[:, 0]
        is_ghost = is_ghost.clone()
        is_ghost[rows] = is_ghost[rows[torch.randperm(len(rows), generator=shuffle)]]
    labels = torch.where(known, is_ghost.long(), -1)
    if router is not None and method != "mixture":
        with router(labels=labels):
            logits, gate = policy(batch.seen)
    else:
        logits, gate = policy(batch.seen)
    log_p = logits.log_softmax(-1)
    value = policy.value(batch.seen)[:, 0]
    chosen = log_p.gather(1, batch.actions[:, None])[:, 0]
    loss = -(chosen * (returns - value.detach())).mean() + settings.value * (value - returns).square().mean()
    loss = loss - settings.entropy * -(log_p.exp() * log_p).sum(-1).mean()
    if method in MIXTURES and bool(known.any()):
        loss = loss + settings.gate * functional.binary_cross_entropy_with_logits(
            gate[known], 1 - is_ghost[known].float()
        )
    return share * loss


@torch.no_grad()
def true_return(
    policy: Policy, p: float, seed: int, settings: LearnerSettings, *, worlds: int = 1024, side: int = 5
) -> float:
    """The mean true return, discounted to the start, of the first episode of each of many worlds."""
    generator = torch.Generator().manual_seed(seed)
    grid = Gridworld(worlds, p, generator, side=side)
    value, open_ = torch.zeros(worlds), torch.ones(worlds, dtype=torch.bool)
    for move in range(grid.limit):
        action = torch.multinomial(policy.acting(grid.observe()).softmax(-1), 1, generator=generator)[:, 0]
        _, ended = grid.step(action)
        value += settings.discount**move * ended.true_reward * open_.float()
        open_ &= ~ended.done
    return float(value.mean())


def learn(method: str, p: float, seed: int, settings: LearnerSettings, *, side: int = 5) -> dict[str, list[float]]:
    """Train one agent; at each looked-at iterate its true return, and what the oversight data say of it.

    ``seen_return`` is the mean true reward of the training episodes with oversight since the last look: all that a
    trainer without the truth can stop by. ``weights`` are not kept; ``policy`` gives the diamond expert's most likely
    moves in one fixed world, for a picture.
    """
    torch.manual_seed(seed)
    inputs = CHANNELS * side**2
    policy = Policy(inputs, settings.hidden, mixture=method in MIXTURES)
    router = Router(policy, episode_routes(settings.hidden)) if method in MIXTURES else None
    optimizer = torch.optim.Adam(policy.parameters(), lr=settings.lr)
    generator = torch.Generator().manual_seed(seed * 2 + 1)
    grid = Gridworld(settings.worlds, p, generator, side=side)
    found: dict[str, list[float]] = {"update": [], "true": [], "seen_return": []}
    rewards, count = 0.0, 0
    every = max(1, settings.updates // settings.evaluations)
    for update in range(1, settings.updates + 1):
        batch = play(policy, grid, settings.moves, generator, mixture=method in MIXTURES)
        ended = batch.done.flatten() & batch.ends["seen"]
        rewards += float(batch.ends["diamond"][ended].sum()) - float(batch.ends["ghost"][ended].sum())
        count += int(ended.sum())
        optimizer.zero_grad()
        batch_loss(method, policy, router, batch, settings, generator).backward()
        optimizer.step()
        if update % every == 0 or update == settings.updates:
            found["update"].append(update)
            found["true"].append(true_return(policy, p, 10_000 + seed, settings, side=side))
            found["seen_return"].append(rewards / max(1, count))
            rewards, count = 0.0, 0
    found["policy"] = picture(policy, side)
    return found


@torch.no_grad()
def picture(policy: Policy, side: int) -> list[float]:
    """The most likely move of the acting policy from each cell, the ghost and the diamond in fixed cells, unseen."""
    ghost, diamond = (side // 2) * side + side - 2, 1
    worlds = Gridworld(side**2, 0.0, torch.Generator().manual_seed(0), side=side)
    worlds.cells = torch.stack([torch.arange(side**2), torch.full((side**2,), ghost), torch.full((side**2,), diamond)])
    moves = policy.acting(worlds.observe()).argmax(-1).tolist()
    return [-1 if cell == ghost else -2 if cell == diamond else move for cell, move in enumerate(moves)]
