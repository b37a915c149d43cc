"""The study ``dictionary.pareto``: end-to-end against local dictionaries at several sparsities and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from toulmin.dictionaries.studies.base import E2E, LOCAL, ObjectiveSetting, SkippingStudy
from toulmin.evidence import Chart, Items, Measure, Table
from toulmin.faults import FaultError
from toulmin.studies import Cost, MeasureSpec, Run, Summary

_NUMBERS = ("sparsity", "ce_increase", "kl", "l0", "alive", "explained_variance", "tokens", "flops")
_RATIOS = {
    "ce_ratio_l0": ("l0", "l0_range", False, "CE increase at equal L0, over that of local"),
    "l0_ratio": ("l0", "cost_range", True, "L0 needed at equal CE increase, over that of local"),
    "alive_ratio": ("alive", "cost_range", True, "alive features needed at equal CE increase, over those of local"),
}


class ModeSetting(BaseModel):
    """One way to train: its objective, the sparsities of its curve, its learning rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    objective: ObjectiveSetting
    sparsities: tuple[float, ...] = Field(min_length=2)
    lr_scale: float = Field(default=1.0, gt=0)  #: as a multiple of the study's ``lr``
    length: float = Field(default=1.0, gt=0)  #: steps as a multiple of the study's


_LOCAL: dict[str, Any] = {"name": "local", "objective": LOCAL.model_dump()}
_E2E: dict[str, Any] = {"name": "e2e", "objective": E2E.model_dump()}


class Pareto(SkippingStudy):
    """Curves of CE increase against L0 and alive features, and the mean ratio of each mode to the first."""

    kind: ClassVar = "dictionary.pareto"
    version: ClassVar = 1
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        name: MeasureSpec(
            "1", "lower", f"mean over the stated range of {text}; the last mode, over pairs of seeds", 0.0
        )
        for name, (_, _, _, text) in _RATIOS.items()
    }
    presets: ClassVar = {
        "tiny": {
            "features": 64, "steps": 8, "batch": 4, "rows": 12, "length": 32, "seeds": 1,
            "modes": [{**_LOCAL, "sparsities": [0.1, 10.0]}, {**_E2E, "sparsities": [0.01, 1.0]}],
            "l0_range": [1.0, 60.0], "cost_range": [0.1, 8.0],
        },
        "demo": {
            "features": 384, "steps": 120, "rows": 64, "seeds": 2, "batch": 16,
            "modes": [{**_LOCAL, "sparsities": [2.0, 5.0, 10.0]}, {**_E2E, "sparsities": [0.4, 1.2, 4.0]}],
            "l0_range": [8.0, 40.0], "cost_range": [0.3, 2.0],
        },
        "full": {
            "features": 512, "steps": 2000, "rows": 512, "seeds": 10,
            "modes": [
                {**_LOCAL, "sparsities": [1.0, 2.5, 5.0, 8.0, 12.0]},
                {**_E2E, "sparsities": [0.15, 0.5, 1.2, 2.5, 6.0]},
            ],
            "l0_range": [6.0, 40.0], "cost_range": [0.15, 1.0],
        },
    }  # fmt: skip

    modes: tuple[ModeSetting, ...] = Field(min_length=2)
    seeds: int = Field(default=3, ge=1)
    l0_range: tuple[float, float] = (6.0, 40.0)  #: fixed before looking
    cost_range: tuple[float, float] = (0.15, 1.0)  #: of CE increase, nats

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if len({mode.name for mode in self.modes}) != len(self.modes):
            raise ValueError("two modes have the same name")
        for name in ("l0_range", "cost_range"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name} ascends from above 0")
        return self

    def cost(self) -> Cost:
        """About 60 microseconds a token and run."""
        runs = self.seeds * sum(len(mode.sparsities) * mode.length for mode in self.modes)
        return Cost(seconds=4 + 6e-5 * runs * self.steps * self.batch * self.length)

    def collect(self, run: Run) -> Items:
        """Train every mode, sparsity and seed; a seed's runs share the model's pass."""
        from toulmin.dictionaries.sweep import SweepRun, result_to_json, train_sweep

        subject, split = self.load(run)
        first = self.start_seed + run.seed
        columns: dict[str, list[Any]] = {}
        about: list[dict[str, Any]] = []
        for seed in run.track(range(first, first + self.seeds), "seeds"):
            runs = [
                SweepRun(mode.name, self.make(mode.objective, sparsity), seed, mode.lr_scale, mode.length)
                for mode in self.modes
                for sparsity in mode.sparsities
            ]
            work = run.workdir / f"pareto-{self.study_hash()[:16]}-{seed}"
            for result in train_sweep(subject.model, split, self.shape(), runs, workdir=work):
                found = result_to_json(result)
                about.append(found)
                key = f"{found['mode']}/{found['sparsity']:g}"
                for name in _NUMBERS:
                    columns.setdefault(f"{key}/{name}", []).append(float(found[name]))
        units = [f"seed-{seed}" for seed in range(first, first + self.seeds)]
        return Items(units, {name: np.array(values) for name, values in columns.items()})

    def curves(self, items: Items, mode: ModeSetting, axis: str) -> dict[int, Any]:
        """One curve for each seed."""
        from toulmin.dictionaries.pareto import Curve

        x, y = (
            np.stack([items[f"{mode.name}/{c:g}/{name}"] for c in mode.sparsities], 1) for name in (axis, "ce_increase")
        )
        return {seed: Curve(x[seed], y[seed]) for seed in range(len(x))}

    def summarise(self, items: Items) -> Summary:
        """The ratios of the last mode to the first as measures, those of every mode as a table, and the curves."""
        measures: dict[str, Measure] = {}
        rows: list[tuple[str | float | None, ...]] = []
        for mode in self.modes[1:]:
            for name, (axis, ends, swapped, text) in _RATIOS.items():
                measure, row = self._ratio(items, mode, axis, getattr(self, ends), swapped, name)
                measures[name] = measure
                rows.append((mode.name, text, *row))
        titles = ("mode", "ratio", "value", "low", "high", "from", "to", "share of the range covered")
        caption = f"Intervals resample seeds ({self.seeds} of each mode); the ranges were fixed before looking."
        ratios = Table(title=f"Mean ratio to {self.modes[0].name}", columns=titles, rows=tuple(rows), caption=caption)
        numbers = Table(
            title="Every run", columns=("mode", "sparsity", "seed", *_NUMBERS[1:]), rows=tuple(self._runs(items))
        )
        return Summary(measures, tables=[ratios, numbers], figures=[*self._charts(items)])

    def _ratio(
        self, items: Items, mode: ModeSetting, axis: str, ends: tuple[float, float], swapped: bool, name: str
    ) -> tuple[Measure, tuple[float | None, ...]]:
        from toulmin.dictionaries.pareto import mean_ratio

        spec = self.measures[name]
        common: dict[str, Any] = {"unit": spec.unit, "better": spec.better, "n": items.n, "n_of": "seeds"}
        first, other = (self.curves(items, m, axis) for m in (self.modes[0], mode))
        try:
            found = mean_ratio(first, other, *ends, swapped=swapped)
        except FaultError as error:
            why = f"{error.faults[0].message}; 1 stands for no ratio"
            return Measure(value=1.0, no_interval=why, **common), (None, None, None, *ends, 0.0)
        low, high = found.interval or (None, None)
        interval, why = found.as_interval(), "a single seed" if found.interval is None else None
        return Measure(value=found.value, interval=interval, no_interval=why, **common), (
            found.value, low, high, *ends, found.covered,
        )  # fmt: skip

    def _runs(self, items: Items) -> list[tuple[str | int | float, ...]]:
        return [
            (mode.name, c, seed, *(float(items[f"{mode.name}/{c:g}/{name}"][seed]) for name in _NUMBERS[1:]))
            for mode in self.modes
            for c in mode.sparsities
            for seed in range(self.seeds)
        ]

    def _charts(self, items: Items) -> list[Chart]:
        charts = []
        for axis, title in (("l0", "L0"), ("alive", "alive features")):
            series: dict[str, Any] = {}
            for mode in self.modes:
                for seed, curve in self.curves(items, mode, axis).items():
                    order = np.argsort(curve.x)
                    series[f"{mode.name}, seed {seed}"] = (curve.x[order], curve.y[order])
            charts.append(
                Chart.curves(series, title=f"CE increase against {title}", x=title, y="CE increase, nats", log_x=True)
            )
        return charts
