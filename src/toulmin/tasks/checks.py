"""What every function of a model and pairs checks first, so that bad input is one clear fault and never a traceback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from toulmin.faults import Fault, FaultError
from toulmin.tasks.pair import Pair, Task

if TYPE_CHECKING:
    from toulmin.subjects import Subject, Transformer, TransformerConfig

_SHOWN = 20  # faults of one kind that are listed before the rest is only counted


def check_prompts(
    model: Transformer | Subject | Any, pairs: Iterable[Pair] | Any
) -> tuple[Transformer, tuple[Pair, ...]]:
    """The transformer and the pairs, or every fault of the two.

    ``model`` may be a :class:`toulmin.subjects.Subject`, whose model is taken. ``pairs`` may be any iterable, a
    generator too.

    :raises FaultError: ``tasks.model``: no transformer; ``tasks.pairs``: not pairs (a text, a task, a single pair);
        ``tasks.empty``: there are none; ``tasks.token``: an id that the vocabulary does not have; ``tasks.length``:
        more tokens than the model has positions.
    """
    transformer = check_model(model)
    found = check_pairs(pairs)
    faults = list(token_faults(found, transformer.config))
    if len(faults) > _SHOWN:
        faults[_SHOWN:] = [Fault("tasks.token", f"and {len(faults) - _SHOWN} more faults of this kind")]
    if faults:
        raise FaultError(faults)
    return transformer, found


def check_model(model: Transformer | Subject | Any) -> Transformer:
    """The transformer that ``model`` is, or the one of a subject.

    :raises FaultError: ``tasks.model``: it is something else.
    """
    from torch import nn

    from toulmin.subjects import Subject, Transformer

    if isinstance(model, Subject):
        model = model.model
    if isinstance(model, Transformer):
        return model
    hint = "build one with toulmin.subjects: load(reference).model, from_huggingface, from_transformer_lens"
    if isinstance(model, str):
        text = f"a model is wanted, and this is the text {model!r}"
    elif isinstance(model, nn.Module):
        text = f"a toulmin.subjects.Transformer is wanted, and this is another module, a {type(model).__name__}"
    else:
        text = f"a model is wanted, and this is a {type(model).__name__}"
    raise FaultError(Fault("tasks.model", text, hint=hint))


def check_pairs(pairs: Iterable[Pair] | Any) -> tuple[Pair, ...]:
    """The pairs of any iterable as a tuple.

    :raises FaultError: ``tasks.pairs``: it is no iterable of pairs; ``tasks.empty``: there are none.
    """
    hint = "pairs come from find_task(name, subject).generate(n, seed), read_pairs(file), or Pair(...)"
    if isinstance(pairs, str | bytes):
        raise FaultError(Fault("tasks.pairs", f"pairs are wanted, and this is the text {pairs!r}", hint=hint))
    if isinstance(pairs, Task):
        text = f"pairs are wanted, and this is the task {pairs.name}"
        raise FaultError(Fault("tasks.pairs", text, hint="call its generate(n, seed)"))
    if isinstance(pairs, Pair) or not isinstance(pairs, Iterable):
        text = f"a sequence of pairs is wanted, and this is a {type(pairs).__name__}"
        raise FaultError(Fault("tasks.pairs", text, hint=hint))
    found = cast("tuple[Any, ...]", tuple(pairs))
    other = [(i, item) for i, item in enumerate(found) if not isinstance(item, Pair)]
    if other:
        i, item = other[0]
        text = f"item {i} is a {type(item).__name__}, not a Pair ({len(other)} of {len(found)} items are none)"
        raise FaultError(Fault("tasks.pairs", text, hint=hint))
    if not found:
        raise FaultError(Fault("tasks.empty", "there are no prompts", hint=hint))
    return found


def token_faults(pairs: Iterable[Pair], config: TransformerConfig) -> Iterator[Fault]:
    """Ids outside the vocabulary and prompts longer than the context, one fault for each field of each pair."""
    limits = {"clean": config.d_vocab, "counterfactual": config.d_vocab}
    limits |= {"answers": config.vocab_out, "wrong": config.vocab_out}
    placed = config.positions in ("learned", "shortformer")  # other models read positions beyond those of training
    for i, pair in enumerate(pairs):
        name = pair.unit or f"pair {i}"
        for field, limit in limits.items():
            high = [token for token in getattr(pair, field) if token >= limit]
            if high:
                text = f"{field} has token {high[0]}, outside the vocabulary (0 to {limit - 1})"
                yield Fault("tasks.token", text, name=name)
        if placed and pair.length > config.n_ctx:
            text = f"the prompt has {pair.length} tokens, and the model has {config.n_ctx} positions"
            yield Fault("tasks.length", text, name=name)
