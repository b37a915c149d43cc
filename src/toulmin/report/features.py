"""Sparse features drawn: each with the contexts that activate it most, tokens shaded by activation."""

from __future__ import annotations

from toulmin.evidence import FeatureIndex
from toulmin.report.pages import Fragment, render


def visible(token: str) -> str:
    """A token with its line breaks, tabs and edge spaces made visible."""
    return token.replace("\n", "\u21b5").replace("\t", "\u21e5").replace("\r", "\u240d") or "\u2205"


def render_features(index: FeatureIndex) -> Fragment:
    """One folded entry for each feature, with a search box over ids, labels and tokens."""
    drawn = [
        (
            feature,
            [
                (
                    example,
                    [(visible(token), value) for token, value in zip(example.tokens, example.activations, strict=True)],
                )
                for example in feature.examples
            ],
            max((value for example in feature.examples for value in example.activations), default=0.0) or 1.0,
        )
        for feature in index.features
    ]
    return Fragment(render("features.html", index=index, features=drawn), frozenset({"features"}))
