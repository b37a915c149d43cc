"""Features described, drawn on a page, exported, compared, and split out of a component."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toulmin.dictionaries import (
    Dictionary,
    DictionaryConfig,
    FeatureRecord,
    compare_dictionaries,
    component_output,
    describe_features,
    feature_terms,
    make_dictionary,
    rank_features,
    to_neuronpedia,
    write_feature_page,
)
from toulmin.dictionaries.features import Context
from toulmin.dictionaries.similarity import (
    ablate_principal_directions,
    direction_map,
    largest_cosines,
    similarity_table,
)
from toulmin.faults import FaultError
from toulmin.patching import Graph, run_circuits, source_values
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import RepeatedTokens

SITE = "L1.resid_pre"


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = TransformerConfig(n_layers=3, d_model=16, n_heads=2, d_head=8, d_vocab=23, n_ctx=12, d_mlp=32)
    return Transformer(config, torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return make_dictionary(DictionaryConfig("relu", 16, 30), 3)


TOKENS = RepeatedTokens(10, 23, 0, 2, 4).rows(0, 20)


@torch.no_grad()
def test_records_say_where_a_feature_is_active_and_what_it_writes(model: Transformer, dictionary: Dictionary) -> None:
    found = describe_features(model, SITE, dictionary, TOKENS, contexts=3, before=2, after=1, batch=7, neighbours=2)
    codes = dictionary.encode(model.run_with_cache(TOKENS, SITE)[1][SITE])
    assert [f.index for f in found] == torch.nonzero(codes.flatten(0, 1).gt(0).any(0))[:, 0].tolist()
    for feature in found[::7]:
        own = codes[:, :, feature.index]
        assert feature.frequency == pytest.approx(float((own > 0).double().mean()))
        assert feature.largest == pytest.approx(float(own.max()))
        assert sum(feature.histogram) == int((own > 0).sum())
        best = own.amax(1).topk(3)
        assert [c.row for c in feature.contexts] == best.indices[best.values > 0].tolist()
        first = feature.contexts[0]
        at = int(own[first.row].argmax())
        start = max(0, at - 2)
        assert first.tokens == tuple(TOKENS[first.row, start : at + 2].tolist())
        assert first.position == at - start
        assert first.activations == pytest.approx(own[first.row, start : at + 2].tolist(), rel=1e-2, abs=1e-3)
        logits = dictionary.directions[feature.index] @ model.W_U
        assert [i for i, _ in feature.promotes] == logits.topk(8).indices.tolist()
        assert feature.suppresses[0][1] == pytest.approx(float(logits.min()), rel=1e-5)
        cosine = dictionary.directions @ dictionary.directions[feature.index]
        cosine[feature.index] = -2
        assert feature.neighbours[0][0] == int(cosine.argmax())


def many(count: int) -> list[FeatureRecord]:
    rng = np.random.default_rng(0)
    context = Context(0, 1, (1, 2, 3), (0.0, 1.5, 0.2))
    return [
        FeatureRecord(
            i, float(rng.random() ** 4), 1.5, tuple(rng.integers(0, 9, 20).tolist()), (context,) * 8,
            ((i % 50, 1.0),) * 8, ((3, -1.0),) * 8, (((i + 1) % count, 0.5),) * 5,
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.browser
def test_a_page_of_2000_features_opens_searches_and_follows_links(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    words = {i: f"w{i}" for i in range(50)} | {1: "</script><b>", 2: "line\nbreak"}
    write_feature_page(tmp_path / "features.html", many(2000), lambda i: words[i], title="2,000 features")
    html = (tmp_path / "features.html").read_text()
    started = time.monotonic()
    page = open_page(html)
    page.wait_for_selector("main h2")
    assert time.monotonic() - started < 10
    assert page.inner_text("#count") == "2000 of 2000 features"
    assert page.locator("#list button").count() < 200  # only what can be seen is drawn
    page.evaluate("document.getElementById('list').scrollTop = 1e6")
    page.wait_for_function("document.querySelectorAll('#list button').length > 120")
    assert "</script><b>" in page.inner_text(".tokens >> nth=0")
    page.fill("#search", "w37")
    assert page.inner_text("#count") == "40 of 2000 features"
    page.click("#list button >> nth=0")
    index = int(page.inner_text("main h2").removeprefix("Feature "))
    assert index % 50 == 37
    page.click(f"text=feature {index + 1} >> nth=0")
    page.wait_for_function(f"document.querySelector('main h2').textContent === 'Feature {index + 1}'")


def test_neuronpedias_fields(model: Transformer, dictionary: Dictionary) -> None:
    (record,) = many(1)
    (found,) = to_neuronpedia([record], lambda i: f"w{i}", model="story-4l", source="2-res-sae")
    assert (found["modelId"], found["layer"], found["index"]) == ("story-4l", "2-res-sae", "0")
    assert found["pos_str"] == ["w0"] * 8
    assert found["activations"][0] == {
        "tokens": ["w1", "w2", "w3"], "values": [0.0, 1.5, 0.2], "maxValue": 1.5, "maxValueTokenIndex": 1,
        "minValue": 0.0,
    }  # fmt: skip
    assert len(found["freq_hist_data_bar_values"]) == len(found["freq_hist_data_bar_heights"]) == 20
    json.dumps(found)


def test_similarities_by_hand() -> None:
    first = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 1, 1]])
    second = torch.tensor([[3.0, 0, 0], [0, -1, 0]])
    np.testing.assert_allclose(largest_cosines(first), [0, 0.5**0.5, 0.5**0.5], atol=1e-6)
    found = compare_dictionaries(first, second)
    np.testing.assert_allclose(found.cosines, [1, 0, 0], atol=1e-6)
    assert found.found_again == pytest.approx(2 / 3)  # the second up to its sign
    table, chart = similarity_table({"a": first, "b": second})
    assert [row[:2] for row in table.rows] == [("a", "itself"), ("a", "b"), ("b", "a"), ("b", "itself")]
    assert chart.rows()
    assert len(direction_map({"a": first, "b": second}).rows()) == 5


@torch.no_grad()
def test_ablating_a_principal_direction_is_setting_it_to_its_mean(model: Transformer) -> None:
    variance, kl = ablate_principal_directions(model.double(), SITE, TOKENS, 3)
    x = model.run_with_cache(TOKENS, SITE)[1][SITE]
    centred = (x - x.flatten(0, 1).mean(0)).flatten(0, 1)
    _, s, vectors = torch.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(variance, (s[:3] ** 2 / len(centred)).numpy(), rtol=1e-9)
    d, mean = vectors[0], x.flatten(0, 1).mean(0)
    edited, _ = model.run_with_cache(TOKENS, [], {SITE: lambda v: v - ((v - mean) @ d)[..., None] * d})
    p, q = model(TOKENS).log_softmax(-1), edited.log_softmax(-1)
    assert kl[0] == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-9)
    model.float()


@pytest.mark.parametrize("component", ["L1.mlp", "L1.H1"])
def test_features_are_terms_that_sum_to_the_component(model: Transformer, component: str) -> None:
    """Cutting all of them is cutting the component; cutting one is taking its own part out of the residual stream."""
    model.double()
    coder = make_dictionary(DictionaryConfig("topk", 16, 24, k=4), 5).double()
    terms = {component: feature_terms(coder, [3, 7])}
    graph = Graph.of(model).split(terms)
    clean, other = TOKENS[:6], TOKENS[6:12]
    own = [i for i, name in enumerate(graph.sources) if name.startswith(f"{component}:")]
    assert [graph.sources[i].split(":")[1] for i in own] == ["f3", "f7", "other", "error"]
    masks = np.zeros((2, len(graph.sources), len(graph.receivers)), dtype=bool)
    masks[0, own], masks[1, own[1]] = True, True
    with torch.no_grad():
        values = source_values(model, other, graph=graph, terms=terms)
        cut = run_circuits(model, clean, values, masks, graph=graph, terms=terms)
        whole = np.zeros((1, len(Graph.of(model).sources), len(Graph.of(model).receivers)), dtype=bool)
        whole[0, Graph.of(model).sources.index(component)] = True
        expected = run_circuits(model, clean, source_values(model, other), whole)[0]
        torch.testing.assert_close(cut[0], expected)
        mine, theirs = (component_output(model, component, rows) for rows in (clean, other))
        change = (coder.encode(theirs) - coder.encode(mine))[..., 7, None] * coder.directions[7]
        by_hand, _ = model.run_with_cache(clean, [], {component: lambda value: value + change})
        torch.testing.assert_close(cut[1], by_hand[:, -1] if cut.ndim == 3 else by_hand)
    model.float()


def test_features_are_ranked_by_their_first_order_effect() -> None:
    coder = make_dictionary(DictionaryConfig("relu", 4, 6), 1).double()
    generator = torch.Generator().manual_seed(0)
    clean, other, gradient = torch.randn(3, 5, 2, 4, dtype=torch.float64, generator=generator)
    found = dict(rank_features(coder, clean, other, gradient))
    for feature, effect in found.items():
        change = (coder.encode(clean) - coder.encode(other))[..., feature, None] * coder.directions[feature]
        assert effect == pytest.approx(float((change * gradient).sum((1, 2)).mean().detach()))
    assert [abs(v) for v in found.values()] == sorted((abs(v) for v in found.values()), reverse=True)
    with pytest.raises(FaultError, match="each once"):
        feature_terms(coder, [1, 1])
    with pytest.raises(FaultError, match="transcoder"):
        feature_terms(make_dictionary(DictionaryConfig("relu", 4, 6, 8)), [1])
