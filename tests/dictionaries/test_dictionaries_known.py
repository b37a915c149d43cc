"""Known answers: KL and cross-entropy, the pass with dictionaries against hooks, architectures, rescaled decoders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from toulmin.dictionaries import Dictionary, DictionaryConfig, Objective, make_dictionary, site_names
from toulmin.dictionaries.objective import InsertedPass, losses, needed_names
from toulmin.dictionaries.output_loss import original_output, output_losses
from toulmin.dictionaries.sites import clean_pass, find_sites, frozen
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig


@pytest.fixture(params=["plain", "gated", "parallel"])
def model(request: pytest.FixtureRequest) -> Transformer:
    more = {
        "plain": {"d_mlp": 32},
        "gated": {"d_mlp": 32, "gated": True, "norm": "rms", "positions": "rotary", "biases": (), "tied": True},
        "parallel": {"d_mlp": 32, "parallel": True, "logit_softcap": 3.0},
    }[request.param]
    config = TransformerConfig(n_layers=3, d_model=16, n_heads=2, d_head=8, d_vocab=23, n_ctx=12, **more)
    return Transformer(config, torch.Generator().manual_seed(1)).double()


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 23, (3, 10), generator=torch.Generator().manual_seed(2))


def small(seed: int = 0, **more: object) -> Dictionary:
    values = {"kind": "relu", "d_in": 16, "n_features": 40, **more}
    return make_dictionary(DictionaryConfig(**values), seed).double()  # type: ignore[arg-type]


def identity() -> Dictionary:
    """x^ = x exactly: features that see the positive and the negative part of each coordinate."""
    dictionary = small(n_features=32)
    eye = torch.eye(16, dtype=torch.float64)
    with torch.no_grad():
        dictionary.W_enc.copy_(torch.cat([eye, -eye], 1))
        dictionary.W_dec.copy_(torch.cat([eye, -eye], 0))
        dictionary.b_enc.zero_()
        dictionary.b_dec.zero_()
    return dictionary


def total_of(model: Transformer, dictionaries: dict[str, Dictionary], objective: Objective, tokens: Tensor) -> Tensor:
    sites = find_sites(dictionaries, model.config)
    names, starts = needed_names(sites, objective, model.config), [min(sites).layer]
    clean = clean_pass(model, tokens, names, starts, whole=objective.of_output)
    original = original_output(model, clean.final, share=True) if clean.final is not None else None
    return losses(model, dictionaries, objective, clean, original)[0]


def test_kl_is_zero_when_the_output_is_the_input(model: Transformer, tokens: Tensor) -> None:
    found = total_of(model, {"L1.resid_pre": identity()}, Objective(kl=1.0), tokens)
    assert float(found.detach()) == pytest.approx(0, abs=1e-12)


def test_kl_is_of_the_original_relative_to_the_inserted_output(model: Transformer, tokens: Tensor) -> None:
    """Non-negative, and the direction: it equals sum p ln p/q and not sum q ln q/p."""
    dictionary = small()
    found = total_of(model, {"L1.resid_pre": dictionary}, Objective(kl=1.0), tokens).detach()
    with torch.no_grad():
        p = model(tokens).log_softmax(-1)
        edits = {"L1.resid_pre": lambda x: dictionary(x).output}
        q = model.run_with_cache(tokens, [], edits)[0].log_softmax(-1)
    forward, backward = (((a.exp() * (a - b)).sum(-1)).mean() for a, b in ((p, q), (q, p)))
    assert float(found) == pytest.approx(float(forward), rel=1e-12)
    assert abs(float(forward) - float(backward)) > 1e-4
    assert float(found) > 0


@pytest.mark.parametrize("share", [True, False])
def test_gradients_of_the_output_losses_are_those_of_autograd(
    model: Transformer, tokens: Tensor, share: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KL and CE in chunks of a few tokens, against differentiating through the logits."""
    monkeypatch.setattr("toulmin.dictionaries.output_loss.CHUNK_BYTES", 4 * 23 * 7)
    generator = torch.Generator().manual_seed(3)
    resid, final = (torch.randn(3, 10, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    resid.requires_grad_()
    with frozen(model):
        kl, ce = output_losses(model, resid, original_output(model, final, share=share), tokens)
        assert kl is not None
        assert ce is not None
        (found,) = torch.autograd.grad(0.7 * kl + 0.4 * ce, resid)
    p, q = model.unembed(final).log_softmax(-1), model.unembed(resid).log_softmax(-1)
    plain_kl = (p.exp() * (p - q)).sum(-1).mean()
    plain_ce = -q[:, :-1].gather(2, tokens[:, 1:, None]).mean()
    (expected,) = torch.autograd.grad(0.7 * plain_kl + 0.4 * plain_ce, resid)
    torch.testing.assert_close(torch.stack([kl, ce]), torch.stack([plain_kl, plain_ce]))
    torch.testing.assert_close(found, expected)


def test_every_site_is_replaced_as_an_edit_replaces_it(model: Transformer, tokens: Tensor) -> None:
    """The fast pass from the shared prefix equals a whole pass with hooks, at every site of an autoencoder."""
    for name in site_names(model.config):
        if name.endswith(".mlp"):
            continue
        dictionary = small()
        (site,) = find_sites([name], model.config)
        with torch.no_grad():
            clean = clean_pass(model, tokens, [name], [site.layer], whole=True)
            behind = InsertedPass(model, {name: dictionary}, clean)
            edits = {name: lambda x, d=dictionary: d(x).output}
            expected, _ = model.run_with_cache(tokens, [], edits)
            torch.testing.assert_close(model.unembed(behind.final), expected)
            torch.testing.assert_close(clean.activations[name], model.run_with_cache(tokens, name)[1][name])


@pytest.mark.parametrize("skip", [False, True])
def test_a_transcoder_reads_the_normalised_stream_and_replaces_the_mlp(
    model: Transformer, tokens: Tensor, skip: bool
) -> None:
    transcoder = small(skip=skip)
    if transcoder.W_skip is not None:
        with torch.no_grad():
            transcoder.W_skip.normal_(generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        clean = clean_pass(model, tokens, [], [1], whole=True)
        behind = InsertedPass(model, {"L1.mlp": transcoder}, clean)
        read: dict[str, Tensor] = {}
        edits = {
            "L1.norm2": lambda x: read.setdefault("x", x),
            "L1.mlp_out": lambda _: transcoder(read["x"]).output,
        }
        expected, _ = model.run_with_cache(tokens, [], edits)
    torch.testing.assert_close(model.unembed(behind.final), expected)


def test_two_sites_in_one_pass(model: Transformer, tokens: Tensor) -> None:
    """The second dictionary reads what the first one changed; all gradients are those of a plain pass."""
    pair = {"L0.resid_post": small(0), "L2.mlp_out": small(1)}
    objective = Objective(kl=1.0, local=0.5, downstream=0.3, downstream_at=("L2.resid_pre", "L2.resid_post"))
    with frozen(model):
        total = total_of(model, dict(pair), objective, tokens)
        total.backward()
    found = [p.grad for d in pair.values() for p in d.parameters()]
    assert all(p.grad is None for p in model.parameters())
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def edit(name: str) -> object:
        def change(x: Tensor) -> Tensor:
            seen[name] = (x, pair[name](x).output)
            return seen[name][1]

        return change

    names = ["L2.resid_pre", "L2.resid_post"]
    logits, cache = model.run_with_cache(tokens, names, {name: edit(name) for name in pair})  # type: ignore[misc]
    clean_logits, clean = model.run_with_cache(tokens, names)
    p, q = clean_logits.log_softmax(-1), logits.log_softmax(-1)
    expected = (p.exp() * (p - q)).sum(-1).mean() + 0.5 * sum((a - b).pow(2).mean() for a, b in seen.values())
    expected = expected + 0.15 * sum((cache[n] - clean[n]).pow(2).mean() for n in names)
    torch.testing.assert_close(total, expected)
    gradients = torch.autograd.grad(expected, [p for d in pair.values() for p in d.parameters()])
    for ours, theirs in zip(found, gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_rescaled_decoder_rows_change_nothing(tokens: Tensor) -> None:
    """The forward pass divides each row by its norm."""
    dictionary, x = small(), torch.randn(7, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = dictionary(x).output
    with torch.no_grad():
        dictionary.W_dec.mul_(torch.linspace(0.1, 9.0, 40, dtype=torch.float64)[:, None])
    torch.testing.assert_close(dictionary(x).output, before)
    torch.testing.assert_close(dictionary.directions.norm(dim=1), torch.ones(40, dtype=torch.float64))


def test_topk_keeps_the_k_largest_of_each_token_and_batch_topk_of_the_batch() -> None:
    x = torch.randn(50, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    each = small(kind="topk", k=5)
    pre, codes = each.pre_activations(x), each.encode(x)
    kept = pre >= pre.topk(5).values[:, -1:]
    torch.testing.assert_close(codes, torch.where(kept, pre.relu(), 0))
    batch = small(kind="batch_topk", k=5)
    pre, codes = batch.pre_activations(x).relu(), batch.train().encode(x)
    assert int((codes > 0).sum()) == 250
    torch.testing.assert_close(codes, torch.where(pre >= pre.flatten().topk(250).values.min(), pre, 0))
    # in evaluation a token's codes do not depend on the batch
    torch.testing.assert_close(batch.eval().encode(x[:1]), batch.encode(x)[:1])
    with pytest.raises(FaultError, match="k"):
        small(kind="topk")


def test_matryoshka_averages_the_errors_of_its_prefixes() -> None:
    x = torch.randn(50, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nested = small(kind="matryoshka", k=5, prefixes=(8, 20, 40), skip=True)
    with torch.no_grad():
        nested.W_skip.normal_(generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]
    output, codes = nested(x)
    errors = []
    for size in (8, 20, 40):
        cut = torch.cat([codes[:, :size], torch.zeros_like(codes[:, size:])], 1)
        errors.append((nested.decode(cut, x) - x).pow(2).mean())
    torch.testing.assert_close(nested.squared_error(output, codes, x), torch.stack(errors).mean())


def test_jumprelu_thresholds_get_the_kernel_gradient() -> None:
    """d codes / d theta = -theta / eps and d L0 / d theta = -1 / eps inside the kernel's width, 0 outside."""
    jump = small(kind="jumprelu", n_features=3, d_in=1, bandwidth=0.2, threshold=1.0)
    with torch.no_grad():
        jump.W_enc.fill_(1.0)
        jump.b_enc.copy_(torch.tensor([0.95, 1.05, 2.0]))
    x = torch.zeros(1, 1, dtype=torch.float64)
    pre = jump.pre_activations(x)
    codes = jump.activate(pre)
    torch.testing.assert_close(codes, torch.tensor([[0.0, 1.05, 2.0]], dtype=torch.float64))
    (values,) = torch.autograd.grad(codes.sum(), jump.log_threshold, retain_graph=True)  # type: ignore[arg-type]
    torch.testing.assert_close(values, torch.tensor([-5.0, -5.0, 0.0], dtype=torch.float64))
    penalty = jump.sparsity(codes, pre)
    assert float(penalty.detach()) == 2
    (counts,) = torch.autograd.grad(penalty, jump.log_threshold)  # type: ignore[arg-type]
    torch.testing.assert_close(counts, torch.tensor([-5.0, -5.0, 0.0], dtype=torch.float64))


def test_gated_codes_are_zero_where_the_gate_is_closed() -> None:
    gated = small(kind="gated", n_features=2, d_in=1)
    with torch.no_grad():
        gated.W_enc.fill_(1.0)
        gated.b_gate.copy_(torch.tensor([-1.0, 1.0]))  # type: ignore[operator]
        gated.r_mag.copy_(torch.tensor([2.0, 2.0]).log())  # type: ignore[operator]
        gated.b_mag.copy_(torch.tensor([3.0, 3.0]))  # type: ignore[operator]
    codes = gated.encode(torch.full((1, 1), 0.5, dtype=torch.float64))
    torch.testing.assert_close(codes, torch.tensor([[0.0, 4.0]], dtype=torch.float64))


def test_the_auxiliary_loss_lets_dead_features_explain_the_error() -> None:
    from toulmin.dictionaries.objective import auxiliary_loss, insert

    dictionary, x = small(), torch.randn(30, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = insert(dictionary, x, x)
    assert float(auxiliary_loss(dictionary, made, torch.zeros(40, dtype=torch.bool), None).detach()) == 0
    dead = torch.arange(40) < 10
    error, pre = (x - made.output).detach(), made.pre.relu() * dead
    codes = torch.where(pre >= pre.topk(4).values[:, -1:], pre, 0)
    expected = (codes @ dictionary.directions - error).pow(2).mean() / error.pow(2).mean()
    torch.testing.assert_close(auxiliary_loss(dictionary, made, dead, 4), expected)


@pytest.mark.parametrize("skip", [False, True])
def test_the_fused_relu_is_the_plain_one(skip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output, codes, penalty and every gradient, that of the input too, in chunks that do not divide the tokens."""
    monkeypatch.setattr("toulmin.dictionaries.architectures.fused.CHUNK_BYTES", 1)  # 64 tokens
    from toulmin.dictionaries.objective import insert

    dictionary, generator = small(skip=skip), torch.Generator().manual_seed(0)
    x = torch.randn(3, 50, 16, dtype=torch.float64, generator=generator, requires_grad=True)
    upstream = torch.randn(3, 50, 16, dtype=torch.float64, generator=generator)
    parameters = [x, *dictionary.parameters()]
    found = []
    for fused in (False, True):
        made = insert(dictionary, x, x, fused=fused)
        penalty = dictionary.sparsity(made.codes, made.pre) if made.penalty is None else made.penalty
        gradients = torch.autograd.grad((made.output * upstream).sum() + 0.3 * penalty, parameters)
        found.append([made.output.detach(), made.codes.detach(), penalty.detach(), *gradients])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_unknown_sites_and_empty_objectives_are_faults(model: Transformer, tokens: Tensor) -> None:
    with pytest.raises(FaultError) as caught:
        find_sites(["L1.resid_pr", "L9.mlp"], model.config)
    assert [fault.name for fault in caught.value.faults] == ["L1.resid_pr", "L9.mlp"]
    with pytest.raises(FaultError, match="nothing to train"):
        total_of(model, {"L1.resid_pre": small()}, Objective(), tokens)
    with pytest.raises(FaultError, match="not negative"):
        Objective(kl=-1.0)


def test_a_model_is_put_back_as_it_was(model: Transformer) -> None:
    def described() -> Iterator[bool]:
        yield model.training
        yield from (p.requires_grad for p in model.parameters())

    before = list(described())
    with frozen(model):
        assert not any(p.requires_grad for p in model.parameters())
    assert list(described()) == before
