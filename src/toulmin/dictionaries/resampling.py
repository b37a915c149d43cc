"""Resampling dead features (Bricken et al. 2023, "Towards Monosemanticity", appendix)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.objective import Inserted

ENCODER_SHARE = 0.2  #: length of a new encoder vector relative to the mean of those alive


@torch.no_grad()
def resample_dead(
    dictionary: Dictionary, made: Inserted, dead: Tensor, optimizer: Optimizer, generator: torch.Generator
) -> None:
    """Give each dead feature the direction of an input that is reconstructed badly.

    Inputs are drawn with probability proportional to the square of their loss, the squared error. The new direction
    is the input's (in a transcoder's decoder the target's); its encoder vector is 0.2 times as long as those alive on
    average, its bias 0, and Adam's averages for it are 0.

    :param dead: [F] which features.
    """
    count = int(dead.sum())
    if not count or bool(dead.all()):
        return
    x, target = made.x.flatten(0, -2).float(), made.target.flatten(0, -2).float()
    errors = (target - made.output.flatten(0, -2).float()).pow(2).sum(-1)
    if not bool(errors.sum() > 0):
        return
    weights = (errors.double() ** 2).cpu()
    drawn = torch.multinomial(weights / weights.sum(), count, replacement=True, generator=generator).to(x.device)
    length = dictionary.W_enc[:, ~dead].norm(dim=0).mean()
    dictionary.W_enc[:, dead] = (functional.normalize(x[drawn], dim=1) * (ENCODER_SHARE * length)).T.to(
        dictionary.W_enc.dtype
    )
    dictionary.W_dec[dead] = functional.normalize(target[drawn], dim=1).to(dictionary.W_dec.dtype)
    dictionary.b_enc[dead] = 0
    for parameter, columns in ((dictionary.W_enc, True), (dictionary.W_dec, False), (dictionary.b_enc, False)):
        for name in ("exp_avg", "exp_avg_sq"):
            average = optimizer.state.get(parameter, {}).get(name)
            if average is not None:
                average[(slice(None), dead) if columns else dead] = 0
