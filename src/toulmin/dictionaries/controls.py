"""A dictionary and its random controls, trained side by side on the same activations at equal budget."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from toulmin.dictionaries.architectures.config import DictionaryConfig
from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.architectures.kinds import make_dictionary
from toulmin.dictionaries.insertion import ACTIVATIONS, Control, Insertion
from toulmin.dictionaries.objective import Objective
from toulmin.dictionaries.trainer import TrainingOptions, train_on_activations
from toulmin.training import Batches, Schedule


def train_beside_controls(
    config: DictionaryConfig,
    objective: Objective,
    batches: Batches[Tensor],
    schedule: Schedule,
    controls: Sequence[Control],
    *,
    seed: int = 0,
    options: TrainingOptions | None = None,
) -> dict[str, Dictionary]:
    """``trained`` and every control: the same first weights, batches, steps and objective."""
    names: list[Control] = ["none", *controls]
    made = {name: make_dictionary(config, seed) for name in names}
    insertions = [Insertion(name, {ACTIVATIONS: made[name]}, objective, control=name) for name in names]
    train_on_activations(insertions, batches, schedule, options=options, seed=seed)
    return {"trained" if name == "none" else name: dictionary for name, dictionary in made.items()}
