"""Generation: one token at a time, with a cache of each layer's keys and values."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.positions import Positions

if TYPE_CHECKING:
    from toulmin.subjects.transformer import Transformer


class KeyValueCache:
    """The keys and values of every token so far, for each layer: space for ``capacity`` positions, made on first
    use."""

    def __init__(self, n_layers: int, capacity: int) -> None:
        self.length, self._capacity, self._last = 0, capacity, n_layers - 1
        self._keys: list[Tensor | None] = [None] * n_layers
        self._values: list[Tensor | None] = [None] * n_layers

    def extend(
        self, layer: int, k: Float[Tensor, "*B T K E"], v: Float[Tensor, "*B T K E"], at: Positions
    ) -> tuple[Float[Tensor, "*B S K E"], Float[Tensor, "*B S K E"], Positions]:
        """Add the keys and values of T new tokens to a layer's, and return all S of them with their positions."""
        end = self.length + len(at)
        if end > self._capacity:
            raise FaultError(
                Fault("subjects.context", f"{end} positions in a cache of {self._capacity}"), ExitCode.LIMIT
            )
        kept = []
        for store, new in ((self._keys, k), (self._values, v)):
            room = store[layer]
            if room is None:
                room = store[layer] = new.new_zeros((*new.shape[:-3], self._capacity, *new.shape[-2:]))
            room[..., self.length : end, :, :] = new
            kept.append(room[..., :end, :, :])
        if layer == self._last:
            self.length = end
        return kept[0], kept[1], Positions(torch.arange(end, device=k.device))


@torch.no_grad()
def generate(
    model: Transformer,
    tokens: Int[Tensor, "*B T"],
    n_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    stop: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> Int[Tensor, "*B _"]:
    """The prompt and up to ``n_tokens`` tokens after it.

    :param temperature: 0 takes the likeliest token; otherwise samples from ``softmax(logits / temperature)``.
    :param top_k: sample among the k likeliest only.
    :param stop: token ids; ends when every sequence of the batch has written one (a sequence that has repeats it).
    :param generator: required for sampling.
    :raises FaultError: (``subjects.context``) where learned positions would run out; (``subjects.generate``) for
        sampling
        without a generator or an empty prompt.
    """
    config = model.config
    total = tokens.shape[-1] + n_tokens
    if temperature > 0 and generator is None:
        raise FaultError(Fault("subjects.generate", "sampling needs a generator"))
    if tokens.shape[-1] == 0:
        raise FaultError(Fault("subjects.generate", "the prompt is empty"))
    if config.positions in ("learned", "shortformer") and total > config.n_ctx:
        raise FaultError(
            Fault("subjects.context", f"{total} tokens, the model has {config.n_ctx} positions"), ExitCode.LIMIT
        )
    past = KeyValueCache(config.n_layers, total)
    stops = torch.tensor(sorted(stop), dtype=tokens.dtype, device=tokens.device)
    done = torch.zeros(tokens.shape[:-1], dtype=torch.bool, device=tokens.device)
    new = tokens
    for _ in range(n_tokens):
        logits = model(new, past)[..., -1, :]
        chosen = _choose(logits, temperature, top_k, generator).to(tokens.dtype)
        chosen = torch.where(done, tokens[..., -1], chosen)
        new = chosen[..., None]
        tokens = torch.cat((tokens, new), dim=-1)
        if len(stops):
            done = done | torch.isin(chosen, stops)
            if bool(done.all()):
                break
    return tokens


def _choose(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> Tensor:
    if temperature <= 0:
        return logits.argmax(-1)
    logits = logits.float() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        floor = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < floor, -torch.inf)
    chances = logits.softmax(-1)
    return torch.multinomial(chances.reshape(-1, chances.shape[-1]), 1, generator=generator).view(chances.shape[:-1])
