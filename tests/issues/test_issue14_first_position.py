"""The first position of a language model may hold an activation a hundred times larger than all others (an attention
sink): squared errors were about nothing else. ``skip_first`` leaves it alone, and ``centre`` starts at the mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from toulmin.dictionaries import (
    Dictionary,
    DictionaryConfig,
    Insertion,
    Objective,
    evaluate_dictionaries,
    make_dictionary,
    train_on_activations,
)
from toulmin.dictionaries.objective import InsertedPass, losses, needed_names
from toulmin.dictionaries.output_loss import original_output
from toulmin.dictionaries.positions import Skip
from toulmin.dictionaries.sites import clean_pass, find_sites
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.training import IndexedBatches, Schedule

SITES = {"L1.resid_pre": 0, "L2.mlp": 1}


@pytest.fixture
def model() -> Transformer:
    config = TransformerConfig(n_layers=3, d_model=16, n_heads=2, d_head=8, d_vocab=23, n_ctx=12, d_mlp=32)
    return Transformer(config, torch.Generator().manual_seed(1)).double()


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 23, (6, 10), generator=torch.Generator().manual_seed(2))


def small(seed: int = 0, start: str = "reference") -> Dictionary:
    return make_dictionary(DictionaryConfig("relu", 16, 40, start=start), seed).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("skip", [0, 1, 3])
@torch.no_grad()
def test_positions_that_are_skipped_pass_as_they_are(model: Transformer, tokens: Tensor, skip: int) -> None:
    """The whole pass equals one with hooks that write only behind the skipped positions, and so do the losses."""
    held = {name: small(seed) for name, seed in SITES.items()}
    read: dict[str, Tensor] = {}

    def replaced(x: Tensor, source: Tensor, name: str) -> Tensor:
        return torch.cat([x[:, :skip], held[name](source[:, skip:]).output], 1)

    edits = {
        "L1.resid_pre": lambda x: replaced(x, x, "L1.resid_pre"),
        "L2.norm2": lambda x: read.setdefault("x", x),
        "L2.mlp_out": lambda x: replaced(x, read["x"], "L2.mlp"),
    }
    logits, cache = model.run_with_cache(tokens, ["L2.resid_pre"], edits)
    clean_logits, clean_cache = model.run_with_cache(tokens, ["L1.resid_pre", "L2.resid_pre"])
    clean = clean_pass(model, tokens, ["L1.resid_pre", "L2.resid_pre"], [1], whole=True)
    behind = InsertedPass(model, held, clean, skip=Skip(skip))
    torch.testing.assert_close(model.unembed(behind.final), logits)
    assert behind.found["L1.resid_pre"].codes.shape == (6, 10 - skip, 40)
    assert clean.final is not None
    one = {"L1.resid_pre": held["L1.resid_pre"]}
    edits = {"L1.resid_pre": edits["L1.resid_pre"]}
    logits, cache = model.run_with_cache(tokens, ["L2.resid_pre"], edits)
    objective = Objective(local=1.0, kl=1.0, downstream=1.0, downstream_at=("L2.resid_pre",), skip_first=skip)
    _, terms, _ = losses(model, one, objective, clean, original_output(model, clean.final, share=False))
    p, q = clean_logits.log_softmax(-1), logits.log_softmax(-1)
    torch.testing.assert_close(terms["kl"], (p.exp() * (p - q)).sum(-1).mean())
    x = clean_cache["L1.resid_pre"][:, skip:]
    torch.testing.assert_close(terms["local/L1.resid_pre"], (one["L1.resid_pre"](x).output - x).pow(2).mean())
    later = (cache["L2.resid_pre"] - clean_cache["L2.resid_pre"]).pow(2).mean()
    torch.testing.assert_close(terms["downstream/L2.resid_pre"], later)


def test_what_stands_at_a_skipped_position_has_no_part_in_local_training(model: Transformer, tokens: Tensor) -> None:
    site, objective = "L1.resid_pre", Objective(local=1.0, sparsity=0.1, skip_first=1)
    gradients = []
    for scale in (1.0, 1e4):
        dictionary = small()
        names = needed_names(find_sites([site], model.config), objective, model.config)
        clean = clean_pass(model, tokens, names, [1], whole=False)
        clean.activations[site][:, 0] *= scale  # type: ignore[index]
        losses(model, {site: dictionary}, objective, clean)[0].backward()
        gradients.append(dictionary.W_enc.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@torch.no_grad()
def test_evaluation_counts_only_positions_with_dictionaries(model: Transformer, tokens: Tensor) -> None:
    site, dictionary = "L1.resid_pre", small()
    found = evaluate_dictionaries(model, {"a": {site: dictionary}}, tokens, batch=4, skip_first=1)["a"]
    x = model.run_with_cache(tokens, site)[1][site][:, 1:]
    output, codes = dictionary(x)
    mean = x.flatten(0, 1).mean(0)
    assert found.usage[site].tokens == 54
    assert found.mean(f"l0/{site}") == pytest.approx(float((codes > 0).sum(-1).double().mean()))
    assert found.explained_variance(site) == pytest.approx(
        1 - float((output - x).pow(2).sum() / (x - mean).pow(2).sum())
    )
    edits = {site: lambda a: torch.cat([a[:, :1], mean.expand_as(a[:, 1:])], 1)}
    log = model.run_with_cache(tokens, [], edits)[0].log_softmax(-1)
    ablated = -log[:, :-1].gather(2, tokens[:, 1:, None]).mean()
    assert found.mean("ce_ablated") == pytest.approx(float(ablated))


@torch.no_grad()
@pytest.mark.parametrize("start", ["reference", "tied"])
def test_a_centred_dictionary_does_to_x_less_the_mean_what_it_did_to_x(start: str) -> None:
    x, mean = torch.randn(20, 16, dtype=torch.float64), torch.linspace(-50, 50, 16, dtype=torch.float64)
    plain, centred = small(start=start), small(start=start)
    plain.b_dec.zero_()
    centred.centre(mean)
    torch.testing.assert_close(centred.encode(x + mean), plain.encode(x))
    torch.testing.assert_close(centred(x + mean).output, plain(x).output + mean)


def test_faults() -> None:
    with pytest.raises(FaultError, match="skip_first"):
        Objective(local=1.0, skip_first=-1)
    batches = IndexedBatches(lambda _: torch.zeros(4, 16))  # rows of activations have no first position
    made = Insertion("a", {"activations": small().float()}, Objective(local=1.0, skip_first=1))
    with pytest.raises(FaultError):
        train_on_activations([made], batches, Schedule(1, 1e-3))
