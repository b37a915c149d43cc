"""At which positions a model's output is read, and whether tokens can be run at all.

Letters: C circuit, B batch, T position, D residual, P scored positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.faults import Fault, FaultError

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

Scored = None | int | slice | str | Sequence[int] | Tensor


def pick_scored(resid: Float[Tensor, "*C B T D"], scored: Scored) -> Tensor:
    """The stream at the scored positions: [.., B, D] for one position, [.., B, P, D] for several.

    ``None`` is the last position; ``"all"`` every position; a tensor [B] or [B, P] gives each row its own.
    """
    if scored is None:
        return resid[..., -1, :]
    if isinstance(scored, str):
        if scored != "all":
            raise FaultError(Fault("patching.scored", "unknown choice of positions", name=scored, hint="'all'"))
        return resid
    if isinstance(scored, int | slice):
        return resid[..., scored, :]
    index = torch.as_tensor(scored, dtype=torch.long, device=resid.device)
    if index.shape[0] != resid.shape[-3]:
        raise FaultError(
            Fault("patching.scored", f"{index.shape[0]} rows of positions for {resid.shape[-3]} rows of tokens")
        )
    rows = torch.arange(index.shape[0], device=resid.device)
    index = index % resid.shape[-2]
    return resid[..., rows, index, :] if index.ndim == 1 else resid[..., rows[:, None], index, :]


def common_positions(scored: Scored, length: int) -> list[int] | None:
    """The scored positions, where they are the same in every row and not all of them; None otherwise."""
    if scored is None:
        return [length - 1]
    if isinstance(scored, int):
        return [scored % length]
    if isinstance(scored, slice):
        return list(range(length))[scored]
    if isinstance(scored, str):
        return None
    index = torch.as_tensor(scored) % length
    if index.ndim == 1 and len(index) and bool((index == index[0]).all()):
        return [int(index[0])]
    return None


def first_scored(scored: Scored, length: int) -> int:
    """The first scored position."""
    if scored is None:
        return length - 1
    if isinstance(scored, str | slice):
        return 0
    index = torch.as_tensor(scored) % length
    return int(index.min()) if index.numel() else 0


def scored_from(scored: Scored, first: int, length: int) -> Scored:
    """The scored positions, of which none is before ``first``, counted from there."""
    if not first or scored is None:
        return scored
    return scored % length - first if isinstance(scored, int) else torch.as_tensor(scored) % length - first


def scored_of_rows(scored: Scored, rows: slice) -> Scored:
    """The scored positions of some rows of the batch."""
    return scored if scored is None or isinstance(scored, int | slice | str) else torch.as_tensor(scored)[rows]


def check_tokens(model: Transformer, *runs: Tensor) -> None:
    """Refuse tokens that no run can read, and runs of unequal shape.

    :raises FaultError: ``patching.tokens``, ``patching.lengths``.
    """
    faults: list[Fault] = []
    for tokens in runs:
        if tokens.ndim != 2 or tokens.dtype not in (torch.int64, torch.int32):
            faults.append(Fault("patching.tokens", f"tokens must be integers [B, T], not {list(tokens.shape)}"))
        elif tokens.numel() == 0:
            faults.append(Fault("patching.tokens", "no tokens"))
        elif int(tokens.min()) < 0 or int(tokens.max()) >= model.config.d_vocab:
            faults.append(Fault("patching.tokens", f"a token is outside the vocabulary of {model.config.d_vocab}"))
        elif tokens.shape[-1] > model.config.n_ctx:
            faults.append(
                Fault("patching.tokens", f"{tokens.shape[-1]} tokens, but the context is {model.config.n_ctx}")
            )
    if len({tuple(tokens.shape) for tokens in runs}) > 1:
        shapes = " and ".join(str(list(tokens.shape)) for tokens in runs)
        faults.append(Fault("patching.lengths", f"clean and counterfactual tokens differ in shape: {shapes}"))
    if faults:
        raise FaultError(faults)
