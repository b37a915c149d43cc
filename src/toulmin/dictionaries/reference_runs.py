"""The runs of the paper, ready: GPT-2 small (layers 2, 6, 10) and TinyStories-1M, with the reference code's settings.

    run = reference_run("gpt2-small e2e", layer=6)
    made = run.insertion(model.config.d_model)
    train_dictionaries(model, [made], token_batches(source, run.batch), run.schedule)

Numbers are those of the reference's configuration files; rows have 1,024 tokens (GPT-2) or 512 (TinyStories). Its
sweeps vary the coefficients by layer, and ``reference_run`` takes them: sparsity 1, 3, 6, 10, 15, 20, 30 (local, layer
10); 0.08, 0.2, 0.8, 2 (e2e, layer 2); 0.8, 2.5, 5 with a downstream coefficient of 0.05 or 0.1 (e2e + downstream,
layer 10). The defaults are those of its single runs, of layer 6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toulmin.dictionaries.architectures.config import DictionaryConfig
from toulmin.dictionaries.architectures.kinds import make_dictionary
from toulmin.dictionaries.insertion import Insertion
from toulmin.dictionaries.objective import Objective
from toulmin.dictionaries.reference import ReferenceCosine
from toulmin.faults import Fault, FaultError

SAMPLES = 400_000  #: rows of a run


@dataclass(frozen=True)
class ReferenceRun:
    """One run of the paper: what is trained where, on how many rows a batch, by which schedule."""

    name: str
    site: str
    ratio: int  #: features as a multiple of the model's width
    objective: Objective
    schedule: ReferenceCosine
    batch: int
    length: int
    clip: float

    def insertion(self, width: int, seed: int = 0) -> Insertion:
        """The dictionary with its first weights, for a model of that width."""
        dictionary = make_dictionary(DictionaryConfig("relu", width, self.ratio * width), seed)
        return Insertion(self.name, {self.site: dictionary}, self.objective, clip=self.clip)


_GPT2 = {
    "gpt2-small local": Objective(sparsity=6.0, local=1.0),
    "gpt2-small e2e": Objective(sparsity=1.5, kl=1.0),
    "gpt2-small e2e+downstream": Objective(sparsity=1.5, kl=0.5, downstream=2.5),
}
_TINY = {
    "tinystories-1m local": Objective(sparsity=1e-2, local=1.0),
    "tinystories-1m e2e": Objective(sparsity=3.0, kl=1.0),
}
REFERENCE_RUNS = (*_GPT2, *_TINY)


def reference_run(
    name: str, layer: int | None = None, *, sparsity: float | None = None, downstream: float | None = None
) -> ReferenceRun:
    """A run by its name (:data:`REFERENCE_RUNS`); ``layer`` defaults to 6 for GPT-2 and 4 for TinyStories.

    :param sparsity: the sparsity coefficient, ``downstream``: that of the downstream loss; default the single run's.
    :raises FaultError: (``dictionaries.reference_run``) there is none of that name.
    """
    changed = {"sparsity": sparsity, "downstream": downstream}
    given = {part: value for part, value in changed.items() if value is not None}
    if name in _GPT2:
        schedule = ReferenceCosine(SAMPLES // 16, 5e-4, warmup=20_000 // 16, floor=0.1)
        site = f"L{6 if layer is None else layer}.resid_pre"
        return ReferenceRun(name, site, 60, replace(_GPT2[name], **given), schedule, 16, 1024, 10.0)
    if name in _TINY:
        schedule = ReferenceCosine(SAMPLES // 20, 1e-3, warmup=20_000 // 20, floor=0.1)
        site = f"L{4 if layer is None else layer}.resid_pre"
        return ReferenceRun(name, site, 50, replace(_TINY[name], **given), schedule, 20, 512, 1.0)
    raise FaultError(Fault("dictionaries.reference_run", f"one of {', '.join(REFERENCE_RUNS)}", name=name))
