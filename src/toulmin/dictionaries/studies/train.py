"""The study ``dictionary.train``: one dictionary, measured on held-out rows beside controls of equal budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from toulmin.dictionaries.studies.base import CONTROLS, E2E, ObjectiveSetting, SkippingStudy
from toulmin.evidence import Chart, Items, Measure, Table, bootstrap, bootstrap_ratio, content_of
from toulmin.studies import Cost, MeasureSpec, Run, Summary

if TYPE_CHECKING:
    from toulmin.dictionaries.evaluation import Evaluation

_ROWS = ("ce_increase", "kl", "top1", "l0", "norm_ratio")


class TrainDictionary(SkippingStudy):
    """One trained dictionary: what it costs the model, and what it has above random directions."""

    kind: ClassVar = "dictionary.train"
    version: ClassVar = 1
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "ce_increase": MeasureSpec("nats", "lower", "mean over rows of CE with the dictionary less CE of the model"),
        "kl": MeasureSpec("nats", "lower", "mean over rows of KL(model || with the dictionary)", 0.0),
        "top1": MeasureSpec("1", "higher", "share of positions with the model's own best token, over rows", 0.0, 1.0),
        "l0": MeasureSpec("features", "lower", "mean over rows of features active on a token", 0.0),
        "norm_ratio": MeasureSpec("1", "neither", "mean over rows of |output| / |input|", 0.0),
        "explained_variance": MeasureSpec("1", "higher", "1 - squared error / squared deviation, over rows", high=1.0),
        "ce_recovered": MeasureSpec("1", "higher", "share of the CE lost by mean ablation that is kept", high=1.0),
        "alive": MeasureSpec("features", "neither", "features active on any evaluated token", 0.0),
        "above_control": MeasureSpec(
            "nats", "higher", "mean over rows of CE with the frozen-decoder control less CE with the dictionary"
        ),
    }
    presets: ClassVar = {
        "tiny": {"features": 64, "steps": 12, "batch": 4, "rows": 16, "length": 32, "controls": ["frozen_decoder"]},
        "demo": {"features": 512, "steps": 300, "rows": 128},
        "full": {"features": 1024, "steps": 4000, "rows": 512},
    }

    objective: ObjectiveSetting = E2E
    sparsity: float = Field(default=1.2, ge=0)
    controls: tuple[Literal["frozen_decoder", "soft_frozen_decoder", "frozen_encoder"], ...] = Field(
        default=CONTROLS, min_length=1
    )  #: trained at equal budget; the first is what ``above_control`` is measured against

    def cost(self) -> Cost:
        """About 70 microseconds a token and dictionary."""
        runs = 1 + len(self.controls)
        return Cost(seconds=4 + 7e-5 * runs * self.steps * self.batch * self.length)

    def collect(self, run: Run) -> Items:
        """Train the dictionary and its controls from one pass of the model, and evaluate each row."""
        from toulmin.dictionaries.formats.own import save_dictionary
        from toulmin.dictionaries.sweep import SweepRun, train_sweep

        subject, split = self.load(run)
        objective, seed = self.make(self.objective, self.sparsity), self.start_seed + run.seed
        runs = [SweepRun("trained", objective, seed)]
        runs += [SweepRun(control, objective, seed, control=control) for control in self.controls]
        shape, work = self.shape(), run.workdir / f"train-{self.study_hash()[:16]}-{seed}"
        with run.progress.task("training", self.steps) as advance:
            done = [0]

            def report(_: str, now: int, __: int) -> None:
                advance(now - done[0])
                done[0] = now

            results = train_sweep(subject.model, split, shape, runs, workdir=work, report=report)
        units, columns = [f"row-{i}" for i in range(self.rows)], dict[str, Any]()
        arrays: dict[str, Any] = {}
        for result in results:
            name, found = result.run.mode, result.evaluation
            columns |= {f"{name}/{key}": value for key, value in rows_of(found, self.site).items()}
            arrays[f"{name}/fired"] = found.usage[self.site].fired
        path = work / "dictionary.safetensors"
        card = {"subject": self.subject, "objective": self.objective.model_dump(), "sparsity": self.sparsity}
        save_dictionary(path, results[0].dictionary, self.site, {**card, "seed": seed, "tokens": results[0].tokens})
        contents = [content_of(row) for row in split.evaluation().tolist()]
        evaluated = results[0].evaluation.usage[self.site].tokens
        about = {"tokens": results[0].tokens, "flops": results[0].flops, "evaluated": evaluated}
        return Items(
            units, columns, arrays=arrays, files={"dictionary.safetensors": path}, metadata=about, contents=contents
        )

    def summarise(self, items: Items) -> Summary:
        """The dictionary's numbers, the controls beside them, and how often features are active."""
        found = {name: self.measure(name, items[f"trained/{name}"], items, n_of="rows") for name in _ROWS}
        found |= ratios(items, "trained", self.measures)
        fired = items["trained/fired"]
        alive = float((fired > 0).sum())
        found["alive"] = plain(self.measures["alive"], alive, items.n, "an exact count over the evaluated tokens")
        gain = items[f"{self.controls[0]}/ce_with"] - items["trained/ce_with"]
        found["above_control"] = self.measure("above_control", gain, items, n_of="rows")
        rows = [control_row(items, name) for name in ("trained", *self.controls)]
        titles = ("dictionary", "CE increase", "KL", "L0", "explained variance", "CE recovered", "alive")
        verdict = judge(found["above_control"], "costs less than the frozen-decoder control")
        table = Table(title="The dictionary beside controls of equal budget", columns=titles, rows=tuple(rows),
                      caption=verdict)  # fmt: skip
        frequency = np.log10(fired[fired > 0] / items.metadata["evaluated"]) if alive else np.zeros(1)
        chart = Chart.histogram(frequency, title="How often features are active", unit="log10 share of tokens")
        return Summary(found, tables=[table], figures=[chart])


def rows_of(found: Evaluation, site: str) -> dict[str, Any]:
    """The columns of an evaluation that a study keeps, without the site's name."""
    names = {**{n: n for n in ("ce", "ce_with", "ce_ablated", "ce_increase", "kl", "top1")}}
    names |= {f"{n}/{site}": n for n in ("l0", "norm_ratio", "error", "size")}
    return {short: found.rows[name] for name, short in names.items()}


def ratios(items: Items, name: str, specs: Mapping[str, MeasureSpec]) -> dict[str, Measure]:
    """Explained variance and CE recovered, with bootstrap intervals over rows."""
    error, size = items[f"{name}/error"], items[f"{name}/size"]
    ce, inserted, ablated = (items[f"{name}/{column}"] for column in ("ce", "ce_with", "ce_ablated"))

    def recovered(a: Any, b: Any, c: Any) -> float:
        return float((c.mean() - b.mean()) / (c.mean() - a.mean()))

    clusters = items.clusters
    variance = bootstrap_ratio(error, size, transform=lambda r: 1 - r, clusters=clusters)
    kept = bootstrap(recovered, ce, inserted, ablated, clusters=clusters, resamples=1000)
    values = {
        "explained_variance": (1 - float(error.sum() / size.sum()), variance),
        "ce_recovered": (recovered(ce, inserted, ablated), kept),
    }
    return {
        key: Measure(
            value=value, unit=specs[key].unit, better=specs[key].better, n=items.n, n_of="rows", interval=interval
        )
        for key, (value, interval) in values.items()
    }


def control_row(items: Items, name: str) -> tuple[str | float, ...]:
    """One dictionary of the table."""
    error, size = items[f"{name}/error"].sum(), items[f"{name}/size"].sum()
    ce, inserted, ablated = (items[f"{name}/{column}"].mean() for column in ("ce", "ce_with", "ce_ablated"))
    numbers = [items[f"{name}/{column}"].mean() for column in ("ce_increase", "kl", "l0")]
    numbers += [1 - error / size, (ablated - inserted) / (ablated - ce), (items[f"{name}/fired"] > 0).sum()]
    return (name.replace("_", " "), *(float(number) for number in numbers))


def plain(spec: MeasureSpec, value: float, n: int, why: str, n_of: str = "rows") -> Measure:
    """A measure that has no interval."""
    return Measure(value=value, unit=spec.unit, better=spec.better, n=n, n_of=n_of, no_interval=why)


def judge(measure: Measure, claim: str) -> str:
    """What the interval of a difference says, in words."""
    if measure.interval is None:
        return f"No interval ({measure.no_interval}): not shown that it {claim}."
    if measure.interval.low > 0:
        return f"It {claim}: the interval of the difference is above 0."
    if measure.interval.high < 0:
        return f"It does not {claim.replace('costs', 'cost', 1)}: the interval of the difference is below 0."
    return f"No evidence that it {claim}: the interval of the difference contains 0."
