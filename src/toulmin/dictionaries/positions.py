"""The positions of a row where a dictionary stands, and those that keep the model's own activation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from toulmin.faults import Fault, FaultError

Where = tuple[Tensor, Tensor]  #: rows and columns of N tokens


@dataclass(frozen=True)
class Skip:
    """Tokens without a dictionary: the ``first`` positions of every row, and those with a norm above ``norm_above``.

    The norm is that of the activation that the dictionary replaces, in the pass without dictionaries, so that one mask
    holds for every dictionary of a site and every objective. The bound is a number and not a multiple of the batch's
    median, so that a token's treatment does not depend on what else is in its batch.

    :raises FaultError: (``dictionaries.objective``) a negative number of positions, or a bound that is not positive.
    """

    first: int = 0
    norm_above: float | None = None

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        if self.first < 0:
            faults.append(Fault("dictionaries.objective", "a number of positions", name="skip_first"))
        if self.norm_above is not None and not (math.isfinite(self.norm_above) and self.norm_above > 0):
            text = f"a positive norm, is {self.norm_above}"
            faults.append(Fault("dictionaries.objective", text, name="skip_norm_above"))
        if faults:
            raise FaultError(faults)

    def kept(self, clean: Float[Tensor, "B T D"]) -> Bool[Tensor, "B T"]:
        """The tokens with a dictionary, from the clean activation that it replaces."""
        kept = torch.ones(clean.shape[:2], dtype=torch.bool, device=clean.device)
        if self.norm_above is not None:
            kept = torch.linalg.vector_norm(clean, dim=-1, dtype=_exact(clean)) <= self.norm_above
        kept[:, : self.first] = False
        return kept

    def where(self, clean: Tensor | None) -> Where | None:
        """Rows and columns of the tokens with a dictionary; None where they are all those after ``first``.

        On a GPU this waits for the device, as the number of tokens is not known before.

        :raises FaultError: (``dictionaries.objective``) no token is left.
        """
        if self.norm_above is None or clean is None:
            return None
        rows, columns = self.kept(clean).nonzero(as_tuple=True)
        if len(rows) == clean[:, self.first :, 0].numel():
            return None
        if not len(rows):
            text = f"every token of a batch has a norm above {self.norm_above:g}"
            raise FaultError(Fault("dictionaries.objective", text, name="skip_norm_above"))
        return rows, columns

    def pick(self, value: Tensor, where: Where | None) -> Tensor:
        """What stands at those tokens: [N, D], or [B, T - first, D] where no token is left out for its norm."""
        return value[:, self.first :] if where is None else value[where]

    def put(self, value: Tensor, where: Where | None, new: Tensor) -> Tensor:
        """``value`` [B, T, D] with ``new`` at those tokens."""
        if where is not None:
            return value.to(new.dtype).index_put(where, new)
        return torch.cat([value[:, : self.first], new], 1) if self.first else new


def _exact(value: Tensor) -> torch.dtype:
    return torch.promote_types(value.dtype, torch.float32)
