r"""What a dictionary is trained for: a weighted sum of losses.

With x [N, D] the activation a dictionary reads in the pass with all dictionaries inserted, c its codes, x^ its output:

    sparsity     mean_n ||c_n||_p / D                  (the reference code: with the 1/p root; D is the width of x)
    local        mean (x^ - x)^2                       over tokens and width; of a transcoder: (x^ - what it replaces)^2
    original     mean (x^ - x0)^2                      x0 the activation in the pass without dictionaries
    downstream   1/|S| sum_{s in S} mean (a_s - a0_s)^2    a_s: activation s behind the dictionaries, a0_s without them
    kl           KL(p0 || p)                           of the output distributions, mean over tokens, nats
    ce           -ln p[next token]                     mean over tokens, nats
    (with ``balanced`` kl and ce are rescaled in every step to the size of the local loss: Karvonen 2025's finetuning)
    aux          mean (e^ - (x - x^))^2 / mean (x - x^)^2  e^: what the dead features make of the error (AuxK)

``form="paper"`` are the terms as Braun et al. 2024, section 2, write them: reconstruction errors are squared lengths
(the sum over the width, not the mean), and the sparsity penalty is the sum of ||c||_p^p, without the root, over D.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.architectures.fused import fused_relu
from toulmin.dictionaries.architectures.kinds import ReluDictionary
from toulmin.dictionaries.output_loss import Original, output_losses
from toulmin.dictionaries.positions import Skip, Where
from toulmin.dictionaries.sites import CleanPass, Site, default_downstream, find_sites, run_layer
from toulmin.faults import Fault, FaultError
from toulmin.subjects import Transformer, TransformerConfig

EVERYWHERE = Skip()
DEAD_AFTER = 100_000  #: tokens without activation after which AuxK counts a feature as dead


@dataclass(frozen=True)
class Objective:
    """The coefficient of each loss (0: not computed), and the choices that a loss leaves open.

    :param p: of the sparsity norm.
    :param skip_first: positions at the beginning of every row that no dictionary touches or is trained on. Many
        language models keep an activation a hundred times larger than all others at the first position (an "attention
        sink"), which squared errors would otherwise be all about.
    :param skip_norm_above: tokens whose activation in the model without dictionaries (that which the dictionary
        replaces) has a norm above this number are left alone too: such activations also occur inside a row. Give a
        multiple of the median norm, say 10 times. The terms of a site are means over the other tokens.
    :param downstream_at: the activations S of the downstream loss; default the stream read by every later layer.
    :param aux_k: how many dead features AuxK uses; default half the width of the input.
    :raises FaultError: (``dictionaries.objective``) a coefficient that is negative or not finite, no p, a negative
        number of positions, or a norm that is not positive.
    """

    sparsity: float = 0.0
    local: float = 0.0
    original: float = 0.0
    downstream: float = 0.0
    kl: float = 0.0
    ce: float = 0.0
    aux: float = 0.0
    p: float = 1.0
    form: Literal["reference", "paper"] = "reference"
    downstream_at: tuple[str, ...] | None = None
    balanced: bool = False
    aux_k: int | None = None
    dead_after: int = DEAD_AFTER
    skip_first: int = 0
    skip_norm_above: float | None = None

    def __post_init__(self) -> None:
        names = ("sparsity", "local", "original", "downstream", "kl", "ce", "aux")
        faults = [
            Fault("dictionaries.objective", f"a coefficient is not negative, is {getattr(self, name)}", name=name)
            for name in names
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0)
        ]
        if not (math.isfinite(self.p) and self.p > 0):
            faults.append(Fault("dictionaries.objective", f"must be positive, is {self.p}", name="p"))
        try:
            Skip(self.skip_first, self.skip_norm_above)
        except FaultError as error:
            faults += error.faults
        if self.balanced and not (self.local and self.of_output):
            faults.append(Fault("dictionaries.objective", "needs local, and kl or ce", name="balanced"))
        if self.form not in ("reference", "paper"):
            faults.append(Fault("dictionaries.objective", "is reference or paper", name="form"))
        if faults:
            raise FaultError(faults)

    @property
    def end_to_end(self) -> bool:
        """Whether it needs the model's later layers with the dictionary in place."""
        return bool(self.downstream or self.kl or self.ce)

    @property
    def skip(self) -> Skip:
        """The tokens without a dictionary."""
        return Skip(self.skip_first, self.skip_norm_above)

    @property
    def of_output(self) -> bool:
        """Whether it needs the output distribution."""
        return bool(self.kl or self.ce)


@dataclass(frozen=True)
class Inserted:
    """What one dictionary saw and made in a pass: what it read, its pre-activations, codes, output and target.

    Each is [B, T, .], or [N, .] with ``where`` the rows and columns of the N tokens, when others were left out for
    their norm.
    """

    x: Tensor
    pre: Tensor
    codes: Tensor
    output: Tensor
    target: Tensor
    penalty: Tensor | None = None  #: the mean over tokens of the sum of the codes, where it was computed with them
    where: Where | None = None


def insert(
    dictionary: Dictionary, x: Tensor, target: Tensor, *, fused: bool = False, where: Where | None = None
) -> Inserted:
    """Run a dictionary, keeping what its losses need.

    ``fused``: of a ReLU dictionary nothing but the output and the L1 penalty needs gradients through the codes.
    """
    if fused and isinstance(dictionary, ReluDictionary) and not dictionary.config.input_bias:
        weights = (dictionary.W_enc, dictionary.b_enc, dictionary.directions, dictionary.b_dec)
        output, codes, penalty = fused_relu(x, *(weight.to(x.dtype) for weight in weights))
        output = output if dictionary.W_skip is None else output + x @ dictionary.W_skip.to(x.dtype)
        return Inserted(x, codes, codes, output, target, penalty, where)
    pre = dictionary.pre_activations(x)
    codes = dictionary.activate(pre)
    return Inserted(x, pre, codes, dictionary.decode(codes, x), target, None, where)


class InsertedPass:
    """A forward pass with several dictionaries in their places, from the clean stream before the first of them.

    ``names`` are the activations to keep; ``whole`` runs to the end (``final``), otherwise the pass stops when all are
    there. Tokens in ``skip`` pass every site as they are (a bound on norms needs the clean activations that the
    dictionaries replace). In a transcoder's place the MLP that it replaces is not computed, unless its own output is
    needed.
    """

    def __init__(
        self,
        model: Transformer,
        dictionaries: Mapping[str, Dictionary],
        clean: CleanPass,
        names: tuple[str, ...] = (),
        *,
        whole: bool = True,
        fused: bool = False,
        skip: Skip = EVERYWHERE,
    ) -> None:
        self._fused, self._skip, self._clean = fused, skip, clean.activations
        self.sites = find_sites(dictionaries, model.config)
        self.found: dict[str, Inserted] = {}
        self.kept: dict[str, Tensor] = {}
        self._writes = {site.writes: (site, dictionaries[site.name]) for site in self.sites}
        self._wanted = {*names, *(site.reads for site in self.sites if site.transcodes)}
        first = min(self.sites).layer
        last = max([max(self.sites).layer, *(int(name[1 : name.index(".")]) for name in names)])
        at = model.positions(clean.tokens.shape[-1])
        resid = clean.starts[first]
        for layer in model.layers[first : None if whole else last + 1]:
            resid = run_layer(layer, resid, at, self._visit)
        self.final = resid

    def _visit(self, name: str, value: Tensor) -> Tensor:
        if name in self._wanted:
            self.kept[name] = value
        if name not in self._writes:
            return value
        site, dictionary = self._writes[name]
        x = self.kept[site.reads] if site.transcodes else value
        skip = self._skip
        where = skip.where(self._clean[name]) if skip.norm_above is not None else None
        found = insert(dictionary, skip.pick(x, where), skip.pick(value, where), fused=self._fused, where=where)
        self.found[site.name] = found
        return skip.put(value, where, found.output)


def local_pass(
    dictionaries: Mapping[str, Dictionary],
    sites: list[Site],
    clean: CleanPass,
    *,
    fused: bool = False,
    skip: Skip = EVERYWHERE,
) -> dict[str, Inserted]:
    """Every dictionary on the clean activation of its own site."""
    found: dict[str, Inserted] = {}
    for site in sites:
        x, target = clean.activations[site.reads], clean.activations[site.writes]
        where = skip.where(target)
        x, target = skip.pick(x, where), skip.pick(target, where)
        found[site.name] = insert(dictionaries[site.name], x, target, fused=fused, where=where)
    return found


def needed_names(sites: list[Site], objective: Objective, config: TransformerConfig) -> tuple[str, ...]:
    """The clean activations that an objective compares with."""
    names = [name for site in sites for name in (site.reads, site.writes)] if not objective.end_to_end else []
    if objective.original or objective.skip_norm_above is not None:
        names += [site.writes for site in sites]
    if objective.downstream:
        names += downstream_names(sites, objective, config)
    return tuple(dict.fromkeys(names))


def downstream_names(sites: list[Site], objective: Objective, config: TransformerConfig) -> tuple[str, ...]:
    """Where the downstream loss is measured."""
    return default_downstream(sites, config) if objective.downstream_at is None else objective.downstream_at


def losses(
    model: Transformer | None,
    dictionaries: Mapping[str, Dictionary],
    objective: Objective,
    clean: CleanPass,
    original: Original | None = None,
    dead: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Inserted]]:
    """The weighted sum, each term (``term/site``, ``kl``, ``ce``), and what each dictionary made.

    Only terms with a coefficient are computed. ``dead`` marks, for each site, the features that AuxK may use.
    """
    behind: InsertedPass | None = None
    fused, skip = objective.p == 1 and not objective.aux, objective.skip
    if objective.end_to_end and model is not None:
        sites = find_sites(dictionaries, model.config)
        names = downstream_names(sites, objective, model.config) if objective.downstream else ()
        behind = InsertedPass(model, dictionaries, clean, names, whole=objective.of_output, fused=fused, skip=skip)
        found = behind.found
    elif model is not None:
        found = local_pass(dictionaries, find_sites(dictionaries, model.config), clean, fused=fused, skip=skip)
    else:
        found = {name: insert(d, *_activations(clean, name), fused=fused) for name, d in dictionaries.items()}
    terms: dict[str, Tensor] = {}
    total: Tensor | None = None

    def add(name: str, coefficient: float, value: Tensor, scale: Tensor | float = 1.0) -> None:
        nonlocal total
        terms[name] = value.detach()
        weighted = value * (coefficient * scale)
        total = weighted if total is None else total + weighted

    for name, made in found.items():
        dictionary = dictionaries[name]
        width = made.output.shape[-1] if objective.form == "paper" else 1
        if objective.sparsity:
            penalty = made.penalty
            if penalty is None:
                penalty = dictionary.sparsity(made.codes, made.pre, objective.p, root=objective.form == "reference")
            add(f"sparsity/{name}", objective.sparsity, penalty / made.x.shape[-1])
        if objective.local:
            error = dictionary.squared_error(made.output, made.codes, made.target)
            add(f"local/{name}", objective.local, error * width)
        if objective.original and model is not None:
            (site,) = find_sites([name], model.config)
            own = skip.pick(clean.activations[site.writes], made.where)
            error = dictionary.squared_error(made.output, made.codes, own)
            add(f"original/{name}", objective.original, error * width)
        if objective.aux and dead is not None:
            add(f"aux/{name}", objective.aux, auxiliary_loss(dictionary, made, dead[name], objective.aux_k))
    if behind is not None and objective.downstream:
        names = downstream_names(behind.sites, objective, model.config) if model is not None else ()
        for name in names:
            value = behind.kept[name]
            error = functional.mse_loss(value, clean.activations[name])
            width = value.shape[-1] if objective.form == "paper" else 1
            add(f"downstream/{name}", objective.downstream / len(names), error * width)
    if behind is not None and objective.of_output and model is not None:
        kl, ce = output_losses(
            model, behind.final, original if objective.kl else None, clean.tokens if objective.ce else None
        )
        local = sum(terms[f"local/{name}"] for name in found) if objective.balanced else None
        for name, coefficient, value in (("kl", objective.kl, kl), ("ce", objective.ce, ce)):
            if value is not None:
                least = torch.finfo(value.dtype).tiny
                scale = 1.0 if local is None else local / value.detach().clamp(min=least)
                add(name, coefficient, value, scale)
    if total is None:
        raise FaultError(Fault("dictionaries.objective", "every coefficient is 0: there is nothing to train for"))
    return total, terms, found


def _activations(clean: CleanPass, name: str) -> tuple[Tensor, Tensor]:
    x = clean.activations[name]
    return x, clean.activations.get(f"{name} target", x)


def auxiliary_loss(dictionary: Dictionary, made: Inserted, dead: Tensor, k: int | None) -> Tensor:
    """AuxK (Gao et al. 2024, section 2.4): the k largest dead features reconstruct the error, over the error's size.

    0 where no feature is dead.
    """
    error = (made.target - made.output).detach()
    pre = made.pre.relu() * dead.to(made.pre.dtype)
    count = min(k or max(1, made.x.shape[-1] // 2), pre.shape[-1])
    values, places = pre.topk(count, dim=-1, sorted=False)
    codes = torch.zeros_like(pre).scatter(-1, places, values)
    guess = codes @ dictionary.directions.to(codes.dtype)
    size = error.pow(2).mean().clamp(min=torch.finfo(error.dtype).tiny)
    return torch.where(dead.any(), functional.mse_loss(guess, error) / size, pre.new_zeros(()))
