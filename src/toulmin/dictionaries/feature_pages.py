"""Features to look at: one static page for a dictionary, and JSON in the shape of Neuronpedia's.

The page is one file without anything from elsewhere; only the part of the list that is seen is drawn.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from toulmin.dictionaries.features import FeatureRecord

Word = Callable[[int], str]


def write_feature_page(
    path: Path | str, features: Sequence[FeatureRecord], word: Word, *, title: str, spaced: bool = False
) -> None:
    """Write the page.

    :param word: the text of a token id.
    :param spaced: put a space between tokens, where their texts have none of their own.
    """
    ids = {i for f in features for c in f.contexts for i in c.tokens}
    ids |= {i for f in features for i, _ in (*f.promotes, *f.suppresses)}
    data = {
        "title": title,
        "spaced": spaced,
        "tokens": {i: word(i) for i in sorted(ids)},
        "features": [_rounded(dataclasses.asdict(feature)) for feature in features],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    template = resources.files("toulmin.dictionaries").joinpath("feature_page.html").read_text("utf-8")
    Path(path).write_text(template.replace("@DATA@", text), "utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def to_neuronpedia(features: Sequence[FeatureRecord], word: Word, *, model: str, source: str) -> list[dict[str, Any]]:
    """One object for each feature under Neuronpedia's names (``modelId``, ``layer``, ``index``, ``pos_str``, ...)."""
    found: list[dict[str, Any]] = []
    for feature in features:
        width = feature.largest / max(1, len(feature.histogram))
        found.append(
            {
                "modelId": model,
                "layer": source,
                "index": str(feature.index),
                "maxActApprox": feature.largest,
                "frac_nonzero": feature.frequency,
                "pos_str": [word(i) for i, _ in feature.promotes],
                "pos_values": [value for _, value in feature.promotes],
                "neg_str": [word(i) for i, _ in feature.suppresses],
                "neg_values": [value for _, value in feature.suppresses],
                "freq_hist_data_bar_values": [width * (i + 0.5) for i in range(len(feature.histogram))],
                "freq_hist_data_bar_heights": list(feature.histogram),
                "topkCosSimIndices": [i for i, _ in feature.neighbours],
                "topkCosSimValues": [value for _, value in feature.neighbours],
                "activations": [
                    {
                        "tokens": [word(i) for i in context.tokens],
                        "values": list(context.activations),
                        "maxValue": max(context.activations),
                        "maxValueTokenIndex": context.position,
                        "minValue": min(context.activations),
                    }
                    for context in feature.contexts
                ],
            }
        )
    return found
