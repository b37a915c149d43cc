"""Effects and proportions: the golden metrics, known answers, invariances, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_transformers import model_of

from toulmin.faults import ExitCode, FaultError
from toulmin.patching import ROOT, Graph, run_circuits, run_paths, source_values
from toulmin.paths import effects, evaluate, hypothesis
from toulmin.paths.evaluation import space_of
from toulmin.paths.explained import explain_proportion
from toulmin.paths.space import make_space
from toulmin.subjects import Transformer
from toulmin.tasks import Pair, PairBatch, find_metric

DELTAS = {"kl": "kl", "absloss": "absolute_loss", "sqloss": "squared_loss", "sqld": "squared_logit_diff"}


@pytest.mark.parametrize("name", ["A_attn2_noln", "C_mlp2_ln", "E_short2_ln"])
def test_golden_metrics(shared: Path, name: str) -> None:
    """Per pair, AUE, ATE and PE of every set under every metric, from the golden outputs."""
    case = json.loads((shared / f"golden/paths/{name}.json").read_text())
    clean = torch.tensor([pair["clean"][-1] for pair in case["pairs"]], dtype=torch.float64)
    corrupt = torch.tensor([pair["corrupt"][-1] for pair in case["pairs"]], dtype=torch.float64)
    answers = torch.tensor([[pair["target"]] for pair in case["pairs"]])
    vocabulary = clean.shape[-1]
    wrong = torch.tensor([[i for i in range(vocabulary) if i != a] for a in answers[:, 0].tolist()])
    tokens = torch.zeros(4, 1, dtype=torch.long)
    batch = PairBatch(
        tokens, tokens, answers, wrong, torch.zeros(4, dtype=torch.long), ("a", "b", "c", "d"), (0, 1, 2, 3)
    )
    # the reference subtracts the mean logit of the whole vocabulary, the right id among them: right - mean(all) is
    # (V - 1) / V times right - mean(others)
    scale = {"sqld": ((vocabulary - 1) / vocabulary) ** 2}
    for one in case["cases"]:
        patched = torch.tensor(one["patched_logits"], dtype=torch.float64)[:, -1]
        for golden, ours in (*DELTAS.items(), ("signedloss", "signed_loss")):
            metric, by = find_metric(ours), scale.get(golden, 1.0)
            wanted = one["metrics"][golden]
            unexplained = by * metric(patched, batch, clean).numpy()
            total = by * metric(corrupt, batch, clean).numpy()
            np.testing.assert_allclose(unexplained, wanted["per_pair"], rtol=0, atol=1e-10)
            np.testing.assert_allclose(total, wanted["per_pair_total"], rtol=0, atol=1e-10)
            if golden != "signedloss":
                found = explain_proportion(one["name"], unexplained, total, resamples=50)
                np.testing.assert_allclose(
                    [found.aue, found.ate, found.pe], [wanted["AUE"], wanted["ATE"], wanted["PE"]], rtol=0, atol=1e-10
                )


def small(**changes: Any) -> Transformer:
    return model_of(**({"n_heads": 3} | changes))


def some_pairs(n: int = 6, seed: int = 0, lengths: tuple[int, ...] = (6,)) -> list[Pair]:
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        length = lengths[i % len(lengths)]
        tokens = rng.integers(0, 17, (2, length)).tolist()
        made.append(
            Pair(tokens[0], tokens[1], (3,), (5,), {"subject": int(rng.integers(0, length))}, unit=f"u{i}", at=-1)
        )
    return made


def tensors(pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([p.clean for p in pairs]), torch.tensor([p.counterfactual for p in pairs])


def patched(model: Transformer, text: str, pairs: list[Pair], **options: Any) -> torch.Tensor:
    h = hypothesis(text)
    space = space_of(model, [h], pairs[0].length, pairs=pairs, terms=options.get("terms"))
    clean, other = tensors(pairs)
    options = {"scored": "all"} | options
    return run_paths(model, [space.compile(h)], clean, other, graph=space.graph, classes=space.classes, **options)[0]


KINDS = {
    "plain": {},
    "rotary": {
        "positions": "rotary",
        "norm": "rms",
        "n_heads": 4,
        "n_kv_heads": 2,
        "gated": True,
        "activation": "silu",
    },
    "alibi": {"positions": "alibi", "n_heads": 4},
    "parallel": {"parallel": True},
    "shortformer": {"positions": "shortformer", "d_mlp": 0},
}


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_known_sets(kind: str) -> None:
    model, pairs = small(**KINDS[kind]), some_pairs()
    clean, other = tensors(pairs)
    close(patched(model, "all", pairs), model(clean))
    close(patched(model, "none", pairs), model(other))
    text = "embed -> L0.H0[V@i-1] -> [K] L1.H1 -> logits\n!L1.H1 - L0.H2@subject"
    same = [Pair(p.clean, p.clean, p.answers, p.wrong, p.positions) for p in pairs]
    close(patched(model, text, same), model(clean))
    close(patched(model, f"({text.splitlines()[0]}) | ~({text.splitlines()[0]})", pairs), model(clean))


@pytest.mark.parametrize("kind", KINDS)
def test_scoring_few_positions_gives_what_scoring_all_does(kind: str) -> None:
    """The last layer is computed at the scored positions only, where they are common to the rows."""
    model, pairs = small(**KINDS[kind]), some_pairs()
    for text in (
        "embed -> [V@i-2..i] L1.H0 -> logits\n!L1.H0",
        "!(L0.H1@subject -> [Q] L1.H1)",
        "L0.H0[K@=1] ~> logits",
    ):
        whole = patched(model, text, pairs)
        close(patched(model, text, pairs, scored=None), whole[:, -1])
        close(patched(model, text, pairs, scored=2), whole[:, 2])
        close(patched(model, text, pairs, scored=slice(1, 4)), whole[:, 1:4])
        close(patched(model, text, pairs, scored=slice(0, 6, 2)), whole[:, 0:6:2])  # with others between them
        close(patched(model, text, pairs, scored=torch.full((6,), 3)), whole[:, 3])
        rows = torch.tensor([0, 5, 3, -1, 2, 2])
        close(patched(model, text, pairs, scored=rows), whole[torch.arange(6), rows])


@pytest.mark.parametrize("kind", KINDS)
def test_one_head_input_by_hand(kind: str) -> None:
    """L0.H0 -> [K] L1.H1 counterfactual, all else clean: the head recomputed by hand."""
    model, pairs = small(**KINDS[kind]), some_pairs()
    clean, other = tensors(pairs)
    graph, at = Graph.of(model), model.positions(6)
    a, b = source_values(model, clean), source_values(model, other)
    stage = next(i for i, s in enumerate(graph.stages) if s.kind == "attn" and s.layer == 1)
    sender, receiver = graph.sources.index("L0.H0"), graph.sources.index("L1.H1")
    layer = model.layers[1]
    x = layer.norm1(a.resid(stage))
    changed = layer.norm1(a.resid(stage) + b.values[sender] - a.values[sender])
    heads = range(model.config.n_heads)
    q, k, v = layer.attn.q(x, at, heads), layer.attn.k(x, at, heads), layer.attn.v(x, at, heads)
    k = torch.cat([k[..., :1, :], layer.attn.k(changed, at, [1]), k[..., 2:, :]], -2)
    out = layer.attn.result(layer.attn.attend(q, k, v, at))[..., 1, :]
    resid = a.resid(len(graph.stages) - 1) + out - a.values[receiver]
    direct = "~(L0.H0 -> [K] L1.H1 -> logits)"
    close(patched(model, direct, pairs), model.unembed(resid))


@pytest.mark.parametrize("kind", KINDS)
def test_edge_circuits_are_one_pass(kind: str) -> None:
    """A set given by edges equals the circuit with the other edges cut, under resampling."""
    model, pairs = small(**KINDS[kind]), some_pairs()
    clean, other = tensors(pairs)
    graph = Graph.of(model)
    space = make_space(graph, [], 6)
    keep = np.random.default_rng(1).random(graph.allowed.shape) < 0.6
    columns = {name: index for index, name in enumerate(graph.receivers)}

    def live(link) -> bool:
        if link.receiver == ROOT:
            return True
        port = link.label
        receiver = link.receiver + (f"[{port.slot}]" if port.slot in "QKV" else "")
        return bool(keep[graph.sources.index(link.sender), columns[receiver]])

    made = space.dag.along(live)
    assert made.is_edge_circuit()
    values = source_values(model, other).values
    wanted = run_circuits(model, clean, values, ~keep[None], scored="all")[0]
    close(run_paths(model, [made], clean, other, scored="all")[0], wanted)
    for fixed in (torch.zeros_like(values), 0.5 * values.mean((1, 2), keepdim=True)):  # values that are no run
        wanted = run_circuits(model, clean, fixed, ~keep[None].astype(bool), scored="all")[0]
        close(run_paths(model, [made], clean, other, values=fixed, scored="all")[0], wanted)
        close(run_paths(model, [made], clean, other, values=fixed, scored="all", max_bytes=100_000)[0], wanted)


def test_position_selectors_by_brute_force() -> None:
    """V of one head from the token before, all else counterfactual: mixing the head's values by hand."""
    model, pairs = small(d_mlp=0), some_pairs()
    clean, other = tensors(pairs)
    graph, at = Graph.of(model), model.positions(6)
    a, b = source_values(model, clean), source_values(model, other)
    attn, norm = model.layers[0].attn, model.layers[0].norm1
    x, y = norm(a.resid(0)), norm(b.resid(0))
    pattern = attn.scores(attn.q(y, at, [0]), attn.k(y, at, [0]), at, at, [0]).softmax(-1)
    before = torch.diag(torch.ones(5, dtype=torch.float64), -1)
    z = attn.mix(pattern * before, attn.v(x, at, [0])) + attn.mix(pattern * (1 - before), attn.v(y, at, [0]))
    resid = b.resid(len(graph.stages) - 1) + attn.result(z, [0])[..., 0, :] - b.values[graph.sources.index("L0.H0")]
    close(patched(model, "embed -> L0.H0[V@i-1] -> logits", pairs), model.unembed(resid))
    subject = torch.tensor([p.positions["subject"] for p in pairs])
    mixed = b.resid(len(graph.stages) - 1).clone()
    rows = torch.arange(len(pairs))
    mixed[rows, subject] += (a.values[0] - b.values[0])[rows, subject]
    close(patched(model, "embed@subject -> logits", pairs), model.unembed(mixed))


def test_splitting_changes_nothing_until_the_parts_differ() -> None:
    model, pairs = small(), some_pairs()
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(12, 3, generator=generator, dtype=torch.float64))[0]
    terms = {"L0.H0": {"inside": lambda x: x @ basis @ basis.T, "rest": lambda x: x - x @ basis @ basis.T}}
    for text in ("L0.H0 -> L1.H1", "!L0.H0", "embed -> L0.H0[V@i-1] -> [K] L1.H1"):
        close(patched(model, text, pairs, terms=terms), patched(model, text, pairs))
    both = "L0.H0:inside -> logits | L0.H0:rest -> logits"
    close(patched(model, both, pairs, terms=terms), patched(model, "L0.H0 -> logits", pairs))
    one = patched(model, "L0.H0:inside -> logits", pairs, terms=terms)
    clean, other = tensors(pairs)
    graph = Graph.of(model)
    a, b = source_values(model, clean), source_values(model, other)
    head = graph.sources.index("L0.H0")
    resid = b.resid(len(graph.stages) - 1) + (a.values[head] - b.values[head]) @ basis @ basis.T
    close(one, model.unembed(resid))
    with pytest.raises(FaultError, match=r"paths\.terms"):
        effects(model, [hypothesis("L0.H0")], pairs, terms={"L0.H0": {"half": lambda x: x / 2}})


def test_the_two_parts_of_the_embedding() -> None:
    model, pairs = small(), some_pairs()
    clean, other = tensors(pairs)
    close(patched(model, "embed.tok", pairs), model(clean))  # positions are the same in both runs
    close(patched(model, "embed.pos", pairs), model(other))
    with pytest.raises(FaultError, match=r"patching\.positions"):
        patched(small(positions="rotary"), "embed.pos", pairs)


def test_batches_order_and_chunks_change_nothing() -> None:
    model, pairs = small(), some_pairs(8, lengths=(5, 6))
    h = [hypothesis("embed -> L0.H0[V@i-1] ~> logits", "a"), hypothesis("!L1.H1 | embed@subject -> logits", "b")]
    whole = effects(model, h, pairs)
    chunked = effects(model, h, pairs, max_bytes=150_000)
    order = np.random.default_rng(0).permutation(8)
    shuffled = effects(model, h, [pairs[i] for i in order])
    for name in ("a", "b"):
        np.testing.assert_allclose(chunked.unexplained[name], whole.unexplained[name], atol=1e-12)
        np.testing.assert_allclose(shuffled.unexplained[name], whole.unexplained[name][order], atol=1e-12)
        alone = [effects(model, h, [pair]).unexplained[name][0] for pair in pairs]
        np.testing.assert_allclose(alone, whole.unexplained[name], atol=1e-12)


def test_gradients_flow_to_the_weights() -> None:
    model, pairs = small(), some_pairs()
    patched(model, "embed -> L0.H0[V@i-1] -> [K] L1.H1 -> logits", pairs).square().sum().backward()
    gradient = model.layers[0].attn.W_V.grad
    assert gradient is not None
    assert float(gradient.abs().sum()) > 0


def test_evaluate_says_what_it_did() -> None:
    model, pairs = small(), some_pairs(12)
    rungs = evaluate(
        model, [hypothesis("!L1.H1", "not L1.H1"), hypothesis("all")], pairs, baseline="everything", resamples=200
    )
    assert [r.name for r in rungs] == ["not L1.H1", "all"]
    assert rungs[1].pe == pytest.approx(1.0)
    assert rungs[0].pe_interval.low <= rungs[0].pe <= rungs[0].pe_interval.high
    assert "only 12 clean prompts" in str(rungs[0])
    assert "against everything" in str(rungs[0])
    part = evaluate(model, hypothesis("!L1.H1"), pairs, baseline="!L1.H1", resamples=50)[0]
    assert part.pe == 0.0
    odd = evaluate(model, hypothesis("L1.H1"), pairs, baseline="!L1.H1", resamples=50)[0]
    assert any("baseline" in note for note in odd.notes)


def test_bad_input() -> None:
    model, pairs = small(), some_pairs()
    h = hypothesis("!L1.H1")
    same = [Pair(p.clean, p.clean, p.answers, p.wrong) for p in pairs]
    with pytest.raises(FaultError, match=r"paths\.no_effect") as caught:
        evaluate(model, h, same, baseline="everything")
    assert caught.value.exit_code == ExitCode.NUMERICAL
    with pytest.raises(FaultError, match=r"paths\.metric"):
        evaluate(model, h, pairs, baseline="everything", metric="signed_loss")
    with pytest.raises(FaultError, match=r"paths\.duplicate"):
        evaluate(model, [h, h], pairs, baseline="everything")
    with pytest.raises(FaultError, match=r"tasks\.empty"):
        evaluate(model, h, [], baseline="everything")
    with pytest.raises(FaultError, match=r"pathset\.states"):
        evaluate(model, hypothesis("embed -> L0.H0[V@i-1] ~> logits"), pairs, baseline="everything", max_copies=1)
    with pytest.raises(FaultError, match=r"patching\.lengths"):
        run_paths(
            model, [make_space(Graph.of(model), [], 6).dag.no_paths()], *[torch.zeros(1, n).long() for n in (6, 5)]
        )
    with torch.no_grad():
        model.W_E[pairs[0].clean[0]] = torch.nan
    with pytest.raises(FaultError, match=r"paths\.nan") as caught:
        evaluate(model, h, pairs, baseline="everything")
    assert caught.value.exit_code == ExitCode.NUMERICAL
