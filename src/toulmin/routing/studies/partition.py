"""The study ``routing.partition``: does routing split what an autoencoder's halves know? (Cloud et al. 2024, 4.1)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from toulmin.evidence import Chart, Heatmap, Items, Table
from toulmin.studies import (
    Cost,
    Doubt,
    Input,
    Json,
    MeasureSpec,
    Run,
    Study,
    Summary,
    keep_piece,
    mean_over_seeds,
    seed_measure,
)

CONDITIONS = ("routed", "unrouted", "random_labels", "random_direction")
_RATIO = "errors of the certificates on the other half's digits over those on their own"


class Partition(Study):
    """Certificates of the halves of a split autoencoder: routed, unrouted, and two placebos.

    The ratio of a run is (error of the low half on high digits + of the high half on low digits) / (low on low + high
    on high), on held-out images: 1 where both halves know the same. Errors are squared, as those that the public code
    evaluates (its plots call them MAE); ``ratio_absolute`` is of absolute errors.
    """

    kind: ClassVar = "routing.partition"
    version: ClassVar = 1
    measures: ClassVar = {
        "ratio": MeasureSpec("1", "higher", f"mean over seeds: {_RATIO}, routed", 0.0),
        "ratio_absolute": MeasureSpec("1", "higher", "the same of absolute errors", 0.0),
        "ratio_unrouted": MeasureSpec("1", "neither", "the same without routing", 0.0),
        "ratio_random_labels": MeasureSpec("1", "neither", "the same, routed by random labels", 0.0),
        "ratio_random_direction": MeasureSpec("1", "neither", "the same, routed to random directions", 0.0),
        "gap": MeasureSpec("1", "higher", "mean over seeds of ratio less the larger of the two placebos' ratios"),
        "own": MeasureSpec(
            "1", "lower", "mean over seeds of the certificates' squared error on their own digits, routed", 0.0
        ),
        "other": MeasureSpec("1", "higher", "the same on the other half's digits", 0.0),
    }
    presets: ClassVar = {
        "tiny": {"images": "embedded:digits-8x8", "seeds": 2, "steps": 60, "batch": 64},
        "demo": {"images": "embedded:digits-8x8", "seeds": 5, "steps": 600},
        "full": {
            "images": "dir:../shared/data/mnist",
            "seeds": 5,
            "hidden": [2048, 512],
            "encoding": 32,
            "steps": 6000,
            "batch": 2048,
        },
    }
    doubts: ClassVar = (
        Doubt(
            "certificate",
            "A certificate that fails may be too weak to read what the half still holds.",
            "a stronger certificate, trained longer, on the same encodings",
        ),
        Doubt(
            "toy",
            "An autoencoder of digits is small and its split is given by labels that are never wrong.",
            "the same measurement on a model and labels of the claim's own kind",
        ),
    )

    images: str = "embedded:digits-8x8"
    seeds: int = Field(default=5, ge=1, le=100)
    hidden: tuple[int, ...] = (128, 64)
    encoding: int = Field(default=16, ge=2, multiple_of=2)
    steps: int = Field(default=600, ge=1)
    batch: int = Field(default=128, ge=2)
    l1: float = Field(default=3e-3, ge=0)
    correlation: float = Field(default=0.1, ge=0)

    def inputs(self) -> tuple[Input, ...]:
        """The images."""
        return (self.input("images", self.images),)

    def cost(self) -> Cost:
        """Six multiplications a weight, image and step, at 2e10 a second."""
        weights = 5 * self.encoding * self.hidden[-1] + 4 * self.hidden[0] * (784 if "mnist" in self.images else 64)
        return Cost(seconds=3 + 3e-10 * weights * self.batch * self.steps * self.seeds * len(CONDITIONS))

    def collect(self, run: Run) -> Items:
        """Errors by digit of every run; one piece a seed and condition."""
        run.prepare_torch()
        from toulmin.routing.images import load_images

        images = load_images(self.resolver.locate(self.images))
        wanted = [(seed, condition) for seed in range(self.seeds) for condition in CONDITIONS]
        found: dict[tuple[int, str], Json] = {}
        for seed, condition in run.track(wanted, "training runs"):
            number = run.seed * 1000 + seed
            found[seed, condition] = keep_piece(
                run.workdir, f"{condition}-{number}", lambda n=number, c=condition: self._train(images, n, c)
            )
        columns = {
            f"{condition}/{name}": np.array([found[seed, condition][name] for seed in range(self.seeds)])
            for condition in CONDITIONS
            for name in found[0, condition]
            if name != "pictures"
        }
        arrays = {f"pictures/{c}": np.array(found[0, c]["pictures"]) for c in CONDITIONS[:2]}
        return Items([f"seed {run.seed * 1000 + s}" for s in range(self.seeds)], columns, arrays=arrays)

    def _train(self, images: Any, seed: int, condition: Any) -> Json:
        from toulmin.routing.autoencoder import certificate_errors, reconstructions, train_autoencoder

        model = train_autoencoder(
            images.train,
            images.train_digits,
            (*self.hidden, self.encoding),
            condition,
            steps=self.steps,
            batch=self.batch,
            seed=seed,
            l1=self.l1,
            correlation=self.correlation,
        )
        first = [int(np.flatnonzero(images.test_digits == d)[0]) for d in range(10)]
        errors = certificate_errors(model, images.test, images.test_digits)
        pictures = np.round(reconstructions(model, images.test[first]), 3)
        return {**{name: e.tolist() for name, e in errors.items()}, "pictures": pictures.tolist()}

    def summarise(self, items: Items) -> Summary:
        """Ratios, errors by digit, and what the certificates make of one image of each digit."""

        def parts(condition: str, kind: str = "_square") -> tuple[np.ndarray, np.ndarray]:
            low, high = items[f"{condition}/low{kind}"], items[f"{condition}/high{kind}"]
            own = (low[:, :5].mean(1) + high[:, 5:].mean(1)) / 2
            return own, (low[:, 5:].mean(1) + high[:, :5].mean(1)) / 2

        ratio = {c: parts(c)[1] / parts(c)[0] for c in CONDITIONS}
        own, other = parts("routed")
        absolute = parts("routed", "")
        values = {
            "ratio": ratio["routed"],
            "ratio_absolute": absolute[1] / absolute[0],
            **{f"ratio_{c}": ratio[c] for c in CONDITIONS[1:]},
            "gap": ratio["routed"] - np.maximum(ratio["random_labels"], ratio["random_direction"]),
            "own": own,
            "other": other,
        }
        measures = {name: seed_measure(self.measures[name], v) for name, v in values.items()}
        return Summary(measures, tables=[self._table(items)], figures=self._figures(items))

    def _table(self, items: Items) -> Table:
        rows: list[tuple[Any, ...]] = []
        for condition in CONDITIONS:
            for decoder in ("decoder", "low", "high"):
                for suffix, kind in (("", "absolute"), ("_square", "squared")):
                    each = items[f"{condition}/{decoder}{suffix}"]
                    low, high = (mean_over_seeds(each[:, half].mean(1)) for half in (slice(0, 5), slice(5, 10)))
                    rows.append((condition, decoder, kind, *low, *high))
        columns = ("run", "read by", "error", "digits 0-4", "low", "high", "digits 5-9", "low", "high")
        caption = "Mean over seeds of the error a pixel on held-out images from -1 to 1; intervals over seeds, 95%."
        return Table(title="Reconstruction errors", columns=columns, rows=tuple(rows), caption=caption)

    def _figures(self, items: Items) -> list[Chart | Heatmap]:
        labels, groups, values, lows, highs = [], [], [], [], []
        for condition in CONDITIONS[:2]:
            for half in ("low", "high"):
                for digit in range(10):
                    each = items[f"{condition}/{half}"][:, digit]
                    labels.append(str(digit))
                    groups.append(f"{condition}, {half} half")
                    for column, found in zip((values, lows, highs), mean_over_seeds(each), strict=True):
                        column.append(found)
        chart = Chart.points_with_intervals(
            labels,
            values,
            lows,
            highs,
            title="Errors of the certificates by digit",
            unit="mean absolute error",
            groups=groups,
            caption="Digits 0 to 4 are routed to the low half, 5 to 9 to the high half.",
        )
        pictures = [_montage(items[f"pictures/{c}"], c) for c in CONDITIONS[:2]]
        return [chart, *pictures]


def _montage(pictures: np.ndarray, condition: str) -> Heatmap:
    """Images side by side: rows are the image and its three reconstructions, columns the digits."""
    rows, count, pixels = pictures.shape
    side = round(pixels**0.5)
    step = max(1, side // 14)
    tiles = pictures.reshape(rows, count, side, side)[:, :, ::step, ::step]
    side = tiles.shape[2]
    grid = tiles.transpose(0, 2, 1, 3).reshape(rows * side, count * side)
    names = ("image", "decoder", "low half", "high half")
    return Heatmap(
        title=f"Reconstructions, {condition}",
        caption="One held-out image of each digit, and what each decoder makes of it.",
        x_labels=tuple(f"{c // side}" if c % side == side // 2 else " " * (c + 1) for c in range(count * side)),
        y_labels=tuple(names[r // side] if r % side == side // 2 else " " * (r + 1) for r in range(rows * side)),
        values=tuple(tuple(float(v) for v in row) for row in grid),
        text=tuple(("",) * (count * side) for _ in range(rows * side)),
        unit="grey from -1 to 1",
        centre=0.0,
    )


__all__ = ["Partition"]
