"""How many steps an attacker needs: a number read off a relearning curve, without tensors."""

from __future__ import annotations

from collections.abc import Sequence


def steps_to(curve: Sequence[float], at: Sequence[int], target: float) -> float:
    """Relearning steps until the loss is at most ``target``, interpolated; ``at[-1]`` where it is not reached."""
    for i, loss in enumerate(curve):
        if loss <= target:
            if i == 0:
                return float(at[0])
            before = curve[i - 1]
            return float(at[i - 1] + (at[i] - at[i - 1]) * (before - target) / (before - loss))
    return float(at[-1])
