"""A few tokens inside a row of SmolLM2 have a norm 160 times that of the others, and were nearly all of the local loss.
``skip_norm_above`` leaves them without a dictionary, in training and in evaluation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from toulmin.dictionaries import (
    Dictionary,
    DictionaryConfig,
    Insertion,
    Objective,
    TrainingOptions,
    evaluate_dictionaries,
    make_dictionary,
    train_dictionaries,
    train_on_activations,
)
from toulmin.dictionaries.objective import Inserted, losses, needed_names
from toulmin.dictionaries.output_loss import original_output
from toulmin.dictionaries.positions import Skip
from toulmin.dictionaries.sites import clean_pass, find_sites
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.training import IndexedBatches, Schedule

SITE, LARGE, LEFT_OUT, ABOVE = "L1.resid_pre", 22, 21, 40.0
OBJECTIVES = {
    "local": Objective(local=1.0, sparsity=0.3, skip_first=1, skip_norm_above=ABOVE),
    "e2e": Objective(kl=1.0, sparsity=0.3, skip_first=1, skip_norm_above=ABOVE),
    "e2e, p": Objective(kl=1.0, sparsity=0.3, p=0.5, skip_first=1, skip_norm_above=ABOVE),
    "original": Objective(kl=1.0, local=0.5, original=0.5, skip_first=1, skip_norm_above=ABOVE),
    "downstream": Objective(kl=0.5, downstream=2.0, skip_first=1, skip_norm_above=ABOVE),
}


@pytest.fixture
def model() -> Transformer:
    """Token 22 has an embedding, and so an activation before layer 1, a hundred times larger than the others."""
    config = TransformerConfig(n_layers=3, d_model=16, n_heads=2, d_head=8, d_vocab=23, n_ctx=12, d_mlp=32)
    made = Transformer(config, torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        made.W_E[LARGE] = 100 * torch.nn.functional.normalize(made.W_E[LARGE], dim=0)
    return made


@pytest.fixture
def tokens() -> Tensor:
    """Five rows of ten: one large token in row 0, two in row 2, one at the (skipped) first position of row 3."""
    drawn = torch.randint(0, LARGE, (5, 10), generator=torch.Generator().manual_seed(2))
    drawn[0, 4] = drawn[2, 1] = drawn[2, 9] = drawn[3, 0] = LARGE
    return drawn


def small() -> Dictionary:
    return make_dictionary(DictionaryConfig("relu", 16, 40)).double()


def kept(tokens: Tensor) -> Tensor:
    """[B, T] by the known answer: neither in the first column nor the large token."""
    found = tokens != LARGE
    found[:, 0] = False
    return found


def computed(
    model: Transformer, tokens: Tensor, objective: Objective, dictionary: Dictionary
) -> tuple[dict[str, Tensor], Inserted]:
    names = needed_names(find_sites([SITE], model.config), objective, model.config)
    clean = clean_pass(model, tokens, names, [1], whole=objective.of_output)
    original = original_output(model, clean.final, share=True) if clean.final is not None else None
    total, terms, found = losses(model, {SITE: dictionary}, objective, clean, original)
    total.backward()
    return {"total": total.detach(), **terms}, found[SITE]


@torch.no_grad()
def test_the_mask_is_that_of_the_norms_one_by_one(model: Transformer, tokens: Tensor) -> None:
    x = model.run_with_cache(tokens, SITE)[1][SITE]
    one_by_one = torch.tensor([[column >= 1 and float(a.norm()) <= ABOVE for column, a in enumerate(r)] for r in x])
    assert torch.equal(one_by_one, kept(tokens))
    skip = Skip(1, ABOVE)
    assert torch.equal(skip.kept(x), one_by_one)
    where = skip.where(x)
    assert where is not None
    assert torch.equal(skip.pick(x, where), x[one_by_one])
    assert torch.equal(skip.put(x, where, torch.zeros(int(one_by_one.sum()), 16).double()), x * ~one_by_one[..., None])
    assert skip.where(x[[1, 3, 4]]) is None  # no token after the first is large: the way without a mask


@pytest.mark.parametrize("mode", OBJECTIVES)
def test_losses_and_gradients_are_those_of_a_pass_with_hooks(model: Transformer, tokens: Tensor, mode: str) -> None:
    """Brute force: dictionaries written in by a hook where the mask is true, and means over those tokens."""
    objective, ours, plain, mask = OBJECTIVES[mode], small(), small(), kept(tokens)
    terms, made = computed(model, tokens, objective, ours)
    assert made.where is not None
    assert torch.equal(torch.stack(made.where, 1), mask.nonzero())
    x0 = model.run_with_cache(tokens, SITE)[1][SITE].detach()[mask]
    output, codes = plain(x0)
    expected = {f"sparsity/{SITE}": codes.sum(-1).mean() / 16}
    if objective.p != 1:
        expected[f"sparsity/{SITE}"] = codes.pow(0.5).sum(-1).pow(2).mean() / 16
    expected[f"local/{SITE}"] = expected[f"original/{SITE}"] = (output - x0).pow(2).mean()
    later = "L2.resid_pre"
    logits, cache = model.run_with_cache(tokens, later, {SITE: lambda a: a.index_put((mask,), output)})
    clean_logits, clean_cache = model.run_with_cache(tokens, later)
    p, q = clean_logits.detach().log_softmax(-1), logits.log_softmax(-1)
    expected["kl"] = (p.exp() * (p - q)).sum(-1).mean()
    expected[f"downstream/{later}"] = (cache[later] - clean_cache[later].detach()).pow(2).mean()
    total = sum(getattr(objective, name.split("/")[0]) * value for name, value in expected.items())
    assert isinstance(total, Tensor)
    total.backward()
    for name, value in terms.items():
        torch.testing.assert_close(value, total if name == "total" else expected[name])
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("kind", ["relu", "topk", "batch_topk", "jumprelu"])
def test_what_stands_at_a_large_token_has_no_part_in_local_training(
    model: Transformer, tokens: Tensor, kind: str
) -> None:
    objective, mask = OBJECTIVES["local"], kept(tokens)
    gradients = []
    for scale in (1.0, 1e4):
        dictionary = make_dictionary(DictionaryConfig(kind, 16, 40, k=4 if "topk" in kind else None)).double()  # type: ignore[arg-type]
        clean = clean_pass(model, tokens, [SITE], [1], whole=False)
        clean.activations[SITE][~mask] *= scale
        losses(model, {SITE: dictionary}, objective, clean)[0].backward()
        gradients.append(dictionary.W_enc.grad)
    assert torch.equal(*gradients)
    assert bool(gradients[0].any())


@pytest.mark.parametrize("mode", OBJECTIVES)
def test_without_a_large_token_nothing_changes(model: Transformer, tokens: Tensor, mode: str) -> None:
    """To the byte: losses, gradients, and every row of an evaluation."""
    ordinary, objective = tokens.clamp(max=LEFT_OUT), OBJECTIVES[mode]
    plain, bounded = small(), small()
    without = computed(model, ordinary, replace(objective, skip_norm_above=None), plain)[0]
    with_bound = computed(model, ordinary, objective, bounded)[0]
    assert {name: float(v) for name, v in without.items()} == {name: float(v) for name, v in with_bound.items()}
    for a, b in zip(plain.parameters(), bounded.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]
    held = {"a": {SITE: plain}}
    rows = [
        evaluate_dictionaries(model, held, ordinary, batch=2, skip_first=1, skip_norm_above=bound)["a"].rows
        for bound in (None, ABOVE)
    ]
    assert {name: value.tobytes() for name, value in rows[0].items()} == {
        name: value.tobytes() for name, value in rows[1].items()
    }


@torch.no_grad()
@pytest.mark.parametrize("batch", [2, 5])
def test_evaluation_is_about_the_other_tokens(model: Transformer, tokens: Tensor, batch: int) -> None:
    """Whatever the batch: rows 0 and 2 hold large tokens, row 4 comes alone in the last batch of 2."""
    dictionary, mask = small(), kept(tokens)
    held = {"a": {SITE: dictionary}}
    found = evaluate_dictionaries(model, held, tokens, batch=batch, skip_first=1, skip_norm_above=ABOVE)["a"]
    x = model.run_with_cache(tokens, SITE)[1][SITE]
    output, codes = dictionary(x)
    mean = x[mask].mean(0)
    assert found.usage[SITE].tokens == int(mask.sum()) == 42
    assert found.usage[SITE].fired.tolist() == (codes[mask] > 0).sum(0).tolist()
    assert found.usage[SITE].alive == int((codes[mask] > 0).any(0).sum())
    l0 = torch.stack([(codes[row] > 0).sum(-1)[mask[row]].double().mean() for row in range(5)])
    ratios = output.norm(dim=-1) / x.norm(dim=-1)
    ratio = torch.stack([ratios[row][mask[row]].mean() for row in range(5)])
    torch.testing.assert_close(torch.tensor(found.rows[f"l0/{SITE}"]), l0)
    torch.testing.assert_close(torch.tensor(found.rows[f"norm_ratio/{SITE}"]), ratio)
    errors, sizes = (output - x)[mask].pow(2).sum(), (x - mean)[mask].pow(2).sum()
    assert found.explained_variance(SITE) == pytest.approx(float(1 - errors / sizes))
    for name, put in (("ce_with", output[mask]), ("ce_ablated", mean.expand(42, 16))):
        log = model.run_with_cache(tokens, [], {SITE: lambda a, new=put: a.index_put((mask,), new)})[0].log_softmax(-1)
        assert found.mean(name) == pytest.approx(float(-log[:, :-1].gather(2, tokens[:, 1:, None]).mean()))


@torch.no_grad()
def test_a_row_without_any_dictionary_is_left_as_it_is(model: Transformer) -> None:
    tokens = torch.full((2, 6), 3)
    tokens[1] = LARGE
    found = evaluate_dictionaries(model, {"a": {SITE: small()}}, tokens, skip_norm_above=ABOVE)["a"]
    assert found.rows[f"l0/{SITE}"][1] == 0
    assert found.rows["ce_increase"][1] == 0
    assert found.rows["ce_increase"][0] != 0


def test_training_and_its_faults(model: Transformer, tokens: Tensor) -> None:
    """Two insertions of different modes train together; what cannot be done is said."""
    made = [Insertion(mode, {SITE: small()}, OBJECTIVES[mode], clip=10.0) for mode in ("local", "e2e")]
    before = [i.dictionaries[SITE].W_enc.detach().clone() for i in made]
    batches = IndexedBatches(lambda _: tokens)
    metrics = train_dictionaries(model, made, batches, Schedule(3, 1e-3))
    assert metrics[f"local/local/{SITE}"] < 10
    for old, insertion in zip(before, made, strict=True):
        assert not torch.equal(old, insertion.dictionaries[SITE].W_enc)
    with pytest.raises(FaultError, match="compiled"):
        train_dictionaries(model, made, batches, Schedule(1, 1e-3), options=TrainingOptions(compile=True))
    low = Insertion("low", {SITE: small()}, Objective(local=1.0, skip_norm_above=1e-9))
    with pytest.raises(FaultError, match="every token"):
        train_dictionaries(model, [low], batches, Schedule(1, 1e-3))
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(FaultError, match="skip_norm_above"):
            Objective(local=1.0, skip_norm_above=bad)
    alone = Insertion("a", {"activations": small()}, Objective(local=1.0, skip_norm_above=5.0))
    with pytest.raises(FaultError):
        train_on_activations([alone], IndexedBatches(lambda _: torch.zeros(4, 16)), Schedule(1, 1e-3))
