"""The study ``routing.oversight``: what an agent learns from partial oversight (Cloud et al. 2024, 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
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

METHODS = ("routed", "naive", "filtered", "oracle", "mixture", "random_labels")
STOPPED = "naive_stopped"
_SIDE = 5


class Oversight(Study):
    """True returns in a gridworld of agents that learn from episodes of which a share has oversight.

    Each agent is looked at ``evaluations`` times while it learns. ``final`` is the last iterate, ``best`` the best by
    the truth (which no trainer has). ``naive_stopped`` is the naive agent at the iterate that did best on the episodes
    with oversight, which every trainer has.
    """

    kind: ClassVar = "routing.oversight"
    version: ClassVar = 1
    measures: ClassVar = {}
    presets: ClassVar = {
        "tiny": {"p": [0.3], "seeds": 2, "updates": 4, "worlds": 16, "hidden": 16, "evaluations": 2},
        "demo": {"p": [0.3], "seeds": 5, "updates": 250, "worlds": 32},
        "full": {"p": [0.01, 0.03, 0.1, 0.3], "seeds": 5, "updates": 20000, "worlds": 512, "hidden": 256, "lr": 5e-5},
    }
    doubts: ClassVar = (
        Doubt(
            "toy",
            "In the gridworld one plane of the observation tells the two ends apart, and oversight is random.",
            "the same comparison where oversight depends on what the agent does",
        ),
        Doubt(
            "tuning",
            "All agents share one set of hyperparameters; a rival tuned by itself may do better.",
            "a sweep of each rival's learning rate and entropy, chosen by what a trainer may see",
        ),
    )

    p: tuple[float, ...] = (0.3,)  #: probabilities of oversight
    seeds: int = Field(default=5, ge=1, le=100)
    updates: int = Field(default=400, ge=1)
    worlds: int = Field(default=64, ge=1)
    hidden: int = Field(default=64, ge=1)
    lr: float = Field(default=3e-3, gt=0)
    evaluations: int = Field(default=10, ge=1)

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """For each probability of oversight: the final true return of each agent, and the gaps that the claim is of."""
        specs: dict[str, MeasureSpec] = {}
        for p in self.p:
            for name in (*METHODS, STOPPED):
                text = f"mean over seeds of the true return of {name}, final iterate, oversight {p:g}"
                specs[f"{name}@{p:g}"] = MeasureSpec("return", "higher", text, -1.0, 1.0)
            for rival in (*METHODS[1:3], STOPPED, "random_labels"):
                text = f"mean over seeds of the true return of routed less that of {rival}, oversight {p:g}"
                specs[f"gap_{rival}@{p:g}"] = MeasureSpec("return", "higher", text, -2.0, 2.0)
        return specs

    def inputs(self) -> tuple[Input, ...]:
        """None: the gridworld is generated."""
        return ()

    def cost(self) -> Cost:
        """About 20 microseconds a move for each 64 hidden units."""
        moves = self.updates * self.worlds * 32 * len(METHODS) * len(self.p) * self.seeds
        return Cost(seconds=3 + moves * 2e-5 * max(1.0, self.hidden / 64))

    def collect(self, run: Run) -> Items:
        """The curves of every agent; one piece an agent, probability and seed."""
        run.prepare_torch()
        wanted = [(seed, p, method) for seed in range(self.seeds) for p in self.p for method in METHODS]
        found: dict[tuple[int, float, str], Json] = {}
        for seed, p, method in run.track(wanted, "agents"):
            number = run.seed * 1000 + seed
            found[seed, p, method] = keep_piece(
                run.workdir, f"{method}-{p:g}-{number}", lambda m=method, q=p, n=number: self._learn(m, q, n)
            )
        names = ("true", "seen_return")
        columns = {
            f"{method}@{p:g}/{name}": np.array([found[s, p, method][name] for s in range(self.seeds)])
            for p in self.p
            for method in METHODS
            for name in names
        }
        arrays = {"updates": np.array(found[0, self.p[0], "routed"]["update"])}
        arrays |= {f"policy/{m}": np.array(found[0, self.p[-1], m]["policy"]) for m in ("routed", "naive")}
        return Items([f"seed {run.seed * 1000 + s}" for s in range(self.seeds)], columns, arrays=arrays)

    def _learn(self, method: str, p: float, seed: int) -> Json:
        from toulmin.routing.experts import LearnerSettings, learn

        settings = LearnerSettings(
            updates=self.updates, worlds=self.worlds, hidden=self.hidden, lr=self.lr, evaluations=self.evaluations
        )
        return learn(method, p, seed, settings, side=_SIDE)

    def summarise(self, items: Items) -> Summary:
        """Final and best returns, the gaps, curves, and the policies as pictures."""
        specs = self.measure_specs()
        final: dict[str, np.ndarray] = {}
        rows: list[tuple[Any, ...]] = []
        for p in self.p:
            for method in (*METHODS, STOPPED):
                true = items[f"{method.removesuffix('_stopped')}@{p:g}/true"]
                last, best = true[:, -1], true.max(1)
                if method == STOPPED:
                    chosen = items[f"naive@{p:g}/seen_return"].argmax(1)
                    last = true[np.arange(len(true)), chosen]
                final[f"{method}@{p:g}"] = last
                rows.append((p, method, *mean_over_seeds(last), *mean_over_seeds(best)))
            for rival in (*METHODS[1:3], STOPPED, "random_labels"):
                final[f"gap_{rival}@{p:g}"] = final[f"routed@{p:g}"] - final[f"{rival}@{p:g}"]
        measures = {name: seed_measure(specs[name], values) for name, values in final.items()}
        columns = ("oversight", "agent", "final", "low", "high", "best", "low", "high")
        table = Table(
            title="True returns",
            columns=columns,
            rows=tuple(rows),
            caption="Discounted return of held-out worlds, mean over seeds, intervals over seeds, 95%.",
        )
        return Summary(measures, tables=[table], figures=self._figures(items))

    def _figures(self, items: Items) -> list[Chart | Heatmap]:
        figures: list[Chart | Heatmap] = []
        updates = items["updates"]
        for p in self.p:
            series = {m: (updates, items[f"{m}@{p:g}/true"].mean(0)) for m in METHODS}
            title = f"True return while learning, oversight {p:g}"
            figures.append(Chart.curves(series, title=title, x="updates", y="mean true return over seeds"))
        for method in ("routed", "naive"):
            cells = items[f"policy/{method}"].reshape(_SIDE, _SIDE)
            signs = {-1: "G", -2: "D", 0: "↑", 1: "→", 2: "↓", 3: "←"}
            figures.append(
                Heatmap(
                    title=f"Most likely moves, {method}",
                    caption="G the ghost, D the diamond; neither has oversight.",
                    x_labels=tuple(map(str, range(_SIDE))),
                    y_labels=tuple(map(str, range(_SIDE))),
                    values=tuple(tuple(-1.0 if v == -1 else 1.0 if v == -2 else 0.0 for v in row) for row in cells),
                    text=tuple(tuple(signs[int(v)] for v in row) for row in cells),
                    centre=0.0,
                )
            )
        return figures


__all__ = ["Oversight"]
