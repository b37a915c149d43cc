r"""The local learning coefficient: how fast the volume of parameters of nearly the same loss grows.

With n samples, L the mean loss and w* a trained parameter (Lau et al. 2023, "The Local Learning Coefficient"):

.. math:: \hat\lambda = n \beta \, \big( E_{w}[L(w)] - L(w^*) \big), \qquad
    w \sim \exp\big(-n \beta L(w) - \tfrac{\gamma}{2} |w - w^*|^2\big)

sampled by stochastic gradient Langevin dynamics, in several chains from w*:

.. math:: w \leftarrow w - \tfrac{\epsilon}{2} \big( n \beta \nabla L(w) + \gamma (w - w^*) \big)
    + \sqrt\epsilon \, \eta .

beta is 1 / log n unless given. On a quadratic loss with curvatures h the answer has a closed form, the step size
included: with a = n beta h + gamma the stationary variance is 1 / (a (1 - epsilon a / 4)), so that
lambda = sum n beta h / (2 a (1 - epsilon a / 4)), which tends to half the number of parameters that matter.

The estimate depends on epsilon, gamma and beta, and chains may not have mixed: the split R-hat over chains and the
effective sample size are returned, and an estimate whose chains disagree is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad_and_value, vmap

from toulmin.faults import ExitCode, Fault, FaultError

Parameters = Mapping[str, Tensor]
Loss = Callable[[dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class LearningCoefficient:
    """``value`` with the standard error ``error`` from the effective sample size; ``r_hat``: split R-hat;
    ``trace``: n beta (L - L(w*)) of every chain and kept step."""

    value: float
    error: float
    r_hat: float
    effective_samples: float
    trace: Float[np.ndarray, "C S"]

    @property
    def interval(self) -> tuple[float, float]:
        """Two standard errors to each side."""
        return self.value - 2 * self.error, self.value + 2 * self.error


def learning_coefficient(
    loss: Loss,
    parameters: Parameters,
    n: int,
    *,
    step: float,
    localisation: float = 100.0,
    beta: float | None = None,
    chains: int = 4,
    burn: int = 200,
    draws: int = 400,
    restrict: Mapping[str, Tensor | None] | None = None,
    batches: Callable[[], Loss] | None = None,
    most_r_hat: float | None = 1.1,
    generator: torch.Generator | None = None,
) -> LearningCoefficient:
    """The local learning coefficient of a loss at ``parameters``, by Langevin sampling.

    :param loss: the mean loss over the n samples, of all parameters by name (it is mapped over chains by torch.func).
    :param step: epsilon; :param localisation: gamma; :param beta: inverse temperature, default 1 / log n.
    :param restrict: sample only these parameters, or only where a mask is true; :func:`part_parameters` gives those of
        a head or a layer of a transformer.
    :param batches: draws a batch of samples and gives the mean loss on it: gradients are then of batches, a new one
        each step, and L(w) - L(w*) is taken on the same batch, which has the same mean as over all samples. Default:
        all n samples each step.
    :param most_r_hat: chains that disagree more than this are refused; None takes them.
    :raises FaultError: ``basis.chains`` (exit NUMERICAL) chains disagree, or the loss is not finite;
        ``basis.parameters`` an unknown name, fewer than two chains or four draws.
    """
    start = {name: value.detach() for name, value in parameters.items()}
    restrict = dict.fromkeys(start) if restrict is None else restrict
    faults = [
        Fault("basis.parameters", "there is no such parameter", name=name) for name in restrict if name not in start
    ]
    if chains < 2 or draws < 4:
        faults.append(Fault("basis.parameters", "at least two chains and four draws are needed"))
    if faults:
        raise FaultError(faults)
    masks = {name: None if mask is None else mask.to(start[name]) for name, mask in restrict.items()}
    strength = n * (1 / math.log(n) if beta is None else beta)
    fixed = {name: value for name, value in start.items() if name not in restrict}
    moving = {name: start[name].expand(chains, *start[name].shape).clone() for name in restrict}
    base = float(loss(start))
    trace = np.empty((chains, draws))
    for number in range(burn + draws):
        current = loss if batches is None else batches()
        slope = vmap(grad_and_value(lambda some, current=current: current({**fixed, **some})))
        gradients, losses = slope(moving)
        if batches is not None:
            base = float(current(start))
        if number >= burn:
            trace[:, number - burn] = strength * (losses.detach().cpu().double().numpy() - base)
        for name, value in moving.items():
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype, device=value.device)
            change = -0.5 * step * (strength * gradients[name] + localisation * (value - start[name]))
            change = change + math.sqrt(step) * noise
            mask = masks[name]
            moving[name] = value + (change if mask is None else change * mask)
    if not np.isfinite(trace).all():
        message = "the loss is not finite along the chains"
        raise FaultError(Fault("basis.chains", message, hint="a smaller step"), ExitCode.NUMERICAL)
    r_hat, size = split_r_hat(trace), effective_sample_size(trace)
    if most_r_hat is not None and r_hat > most_r_hat:
        message = f"the chains disagree: R-hat is {r_hat:.3f}, above {most_r_hat}"
        raise FaultError(Fault("basis.chains", message, hint="longer chains, or another step"), ExitCode.NUMERICAL)
    return LearningCoefficient(float(trace.mean()), float(trace.std(ddof=1)) / math.sqrt(size), r_hat, size, trace)


def quadratic_coefficient(
    curvatures: Float[np.ndarray, "K"], n: int, *, step: float, localisation: float, beta: float | None = None
) -> float:
    """What :func:`learning_coefficient` tends to on the loss sum h w^2 / 2, the step size included."""
    strength = n * (1 / math.log(n) if beta is None else beta)
    a = strength * curvatures + localisation
    return float((strength * curvatures / (2 * a * (1 - step * a / 4))).sum())


def split_r_hat(trace: Float[np.ndarray, "C S"]) -> float:
    """R-hat over the halves of every chain (Gelman et al. 2013): the root of the pooled variance over that within."""
    half = trace.shape[1] // 2
    parts = np.concatenate([trace[:, :half], trace[:, half : 2 * half]])
    within = parts.var(1, ddof=1).mean()
    if within == 0:
        return 1.0 if np.ptp(parts) == 0 else math.inf
    between = half * parts.mean(1).var(ddof=1)
    return float(math.sqrt(((half - 1) / half * within + between / half) / within))


def effective_sample_size(trace: Float[np.ndarray, "C S"]) -> float:
    """Draws over the autocorrelation time: the sum of autocorrelations up to where pairs of them turn negative."""
    chains, draws = trace.shape
    centred = trace - trace.mean(1, keepdims=True)
    size = 2 * draws
    spectrum = np.abs(np.fft.rfft(centred, size, axis=1)) ** 2
    auto = np.fft.irfft(spectrum, size, axis=1)[:, :draws].mean(0) / draws
    between = trace.mean(1).var(ddof=1)
    within = auto[0] * draws / (draws - 1)
    total = within * (draws - 1) / draws + between
    if total == 0:
        return float(chains * draws)
    rho = 1 - (within - auto * draws / (draws - 1)) / total
    time = -1.0
    for lag in range(0, draws - 1, 2):
        pair = rho[lag] + rho[lag + 1]
        if pair < 0:
            break
        time += 2 * pair
    return float(min(chains * draws, chains * draws / max(time, 1e-9)))
