"""The study ``basis.interaction``: how many interactions a network needs, in one basis and in another."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from toulmin.basis.studies.data import (
    BasisName,
    Prepared,
    Task,
    build_basis,
    interval_over_models,
    needed_of_section,
    over_models,
    prepare_addition,
    prepare_language,
)
from toulmin.evidence import (
    Chart,
    Figure,
    GraphFigure,
    Measure,
    PositiveControl,
    Table,
    content_of,
)
from toulmin.evidence.figures import Facts, FigureEdge, Node
from toulmin.studies import (
    Cost,
    Doubt,
    Input,
    Items,
    Json,
    MeasureSpec,
    Run,
    Study,
    Summary,
    keep_piece,
)

BASIS_DOUBTS = (
    Doubt(
        "verdict",
        "The authors of the method found that on language models it does not yield substantial improvements in "
        "interpretability or interaction sparsity.",
        "the same comparison on the model that the claim is about",
    ),
    Doubt(
        "threshold",
        "The number of edges needed depends on the score, on how much of it may be lost, and on the ranking of edges.",
        "the same comparison at another tolerance",
    ),
)


class Interaction(Study):
    """Edges needed for nearly the same score, in the Local Interaction Basis and in others, with intervals over models.

    ``random`` is the placebo: a random rotation of every site.
    """

    kind: ClassVar = "basis.interaction"
    version: ClassVar = 1
    measures: ClassVar = {
        "ratio": MeasureSpec("1", "lower", "geometric mean over models of the edges that the basis needs, by PCA's", 0),
        "fewer": MeasureSpec("1", "higher", "share of models in which the basis needs fewer edges than PCA", 0, 1),
        "equivalent": MeasureSpec("1", "neither", "share of models whose ratio lies within the margin of 1", 0, 1),
    }
    presets: ClassVar = {
        "tiny": {"subjects": ("embedded:addition-23",), "share": 0.7, "bases": ("pca", "lib")},
        "demo": {"subjects": ("embedded:addition-23",), "share": 0.7},
        "full": {
            "subjects": ("embedded:story-4l",),
            "task": "language",
            "sequences": 32,
            "length": 65,
            "tolerance": 0.1,
        },
    }
    doubts: ClassVar = BASIS_DOUBTS

    subjects: tuple[str, ...] = Field(min_length=1)  #: references of transformers, each one unit
    task: Task = "modular_addition"
    bases: tuple[BasisName, ...] = ("neurons", "random", "svd", "pca", "lib")
    share: float = Field(default=0.3, gt=0, lt=1)  #: modular addition: pairs that the bases are built from
    sequences: int = Field(default=16, ge=1)  #: language: texts to build from, and as many to score on
    length: int = Field(default=33, ge=2)  #: language: tokens of a text
    layers: tuple[int, ...] = Field(default=(-1,), min_length=1)  #: language: of these MLPs; -1 is the last layer
    tolerance: float = Field(default=1e-3, gt=0)  #: of the score: accuracy that may be lost, nats that may be added
    margin: float = Field(default=1.25, gt=1)  #: two numbers of edges are equivalent within this factor
    most_evaluations: int = Field(default=40, ge=2)  #: bound on the scores tried for one basis and section
    max_megabytes: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if "pca" not in self.bases or len(set(self.bases)) != len(self.bases):
            raise ValueError("bases are different, and pca, which the others are compared with, is among them")
        if len(set(self.subjects)) != len(self.subjects):
            raise ValueError("a subject is named twice")
        return self

    def measure_specs(self) -> dict[str, MeasureSpec]:
        """``score``: of the whole model; ``needed.BASIS``; ``ratio``, ``fewer`` and ``equivalent`` of all but PCA."""
        needed = {
            f"needed.{basis}": MeasureSpec("edges", "lower", "mean over models of the edges needed in all sections", 0)
            for basis in self.bases
        }
        others = [basis for basis in self.bases if basis != "pca"]
        language = self.task == "language"
        unit, better = ("nats", "lower") if language else ("1", "higher")
        whole = MeasureSpec(unit, better, "mean over models of the whole model's score on the data held out", 0)
        return (
            {"score": whole}
            | needed
            | {f"{name}.{basis}": spec for name, spec in self.measures.items() for basis in others}
        )

    def inputs(self) -> tuple[Input, ...]:
        """The subjects."""
        return tuple(self.input(f"subject {number}", reference) for number, reference in enumerate(self.subjects))

    def seed_changes_data(self) -> bool:
        """Texts are drawn; the pairs of modular addition are all there are."""
        return self.task == "language"

    def cost(self) -> Cost:
        """About a minute for each model and basis."""
        return Cost(seconds=60.0 * len(self.subjects) * len(self.bases), bytes=2 * self.max_megabytes * 2**20)

    def collect(self, run: Run) -> Items:
        """Build each basis on each model and bisect for the edges it needs; kept in the working folder."""
        run.prepare_torch()
        rows: list[dict[str, Any]] = []
        pieces: list[tuple[str, BasisName]] = [(subject, basis) for subject in self.subjects for basis in self.bases]
        prepared: tuple[str, list[Prepared]] | None = None
        for subject, basis in run.track(pieces, "models and bases"):

            def make(subject: str = subject, basis: BasisName = basis) -> Json:
                nonlocal prepared
                if prepared is None or prepared[0] != subject:
                    prepared = subject, self._prepare(subject, run)
                return self._needed(prepared[1], basis, run)

            rows.append(keep_piece(run.workdir, f"{self.subjects.index(subject)}-{basis}", make))
        sections = rows[0]["sections"]
        count = len(self.bases)
        columns: dict[str, Any] = {}
        for offset, basis in enumerate(self.bases):
            for number in range(len(sections)):
                for name in ("needed", "possible", "spread"):
                    values = [rows[unit * count + offset][name][number] for unit in range(len(self.subjects))]
                    columns[f"{name}/{basis}/{number}"] = np.array(values, dtype=float)
        columns["whole"] = np.array([float(rows[unit * count]["whole"]) for unit in range(len(self.subjects))])
        first = dict(zip(self.bases, rows[: len(self.bases)], strict=True))
        keep = ("tested", "whole", "graph", "strength")
        metadata: dict[str, Any] = {
            "sections": sections,
            # those of a language model's last layer have another name in each model
            "model_sections": [rows[unit * count]["sections"] for unit in range(len(self.subjects))],
            "first": {b: {k: row[k] for k in keep} for b, row in first.items()},
            "planted": planted_needs(),
        }
        if self.task == "modular_addition":
            low = [s for s, score in zip(self.subjects, columns["whole"], strict=True) if score < 0.99]
            # a network that has not generalised has little accuracy to lose, so a few edges seem enough for it
            metadata["data_notes"] = [f"{subject} is right on less than 99 % of the pairs held out" for subject in low]
        return Items(list(self.subjects), columns, metadata=metadata)

    def _prepare(self, subject: str, run: Run) -> list[Prepared]:
        if self.task == "modular_addition":
            return [prepare_addition(subject, self.resolver, self.share)]
        options = {"sequences": self.sequences, "length": self.length, "seed": run.seed}
        return prepare_language(subject, self.resolver, self.layers, **options)

    def _needed(self, parts: list[Prepared], basis: BasisName, run: Run) -> dict[str, Any]:
        found: dict[str, Any] = {name: [] for name in ("sections", "needed", "possible", "spread", "tested", "graph")}
        found["strength"] = []
        for prepared in parts:
            graph = build_basis(basis, prepared, seed=run.seed, max_bytes=self.max_megabytes * 2**20)
            sites = prepared.chain.sites
            found["strength"] += [rotation.strength[int(rotation.constant) :].tolist() for rotation in graph.rotations]
            for number, edges in enumerate(graph.edges):
                result, counted = needed_of_section(
                    prepared, graph, number, tolerance=self.tolerance, most=self.most_evaluations
                )
                inner = edges[:, 1:] if graph.rotations[number].constant else edges
                found["sections"].append(f"{sites[number]} to {sites[number + 1]}")
                found["needed"].append(min(result.count, inner.numel()))
                found["possible"].append(inner.numel())
                # the participation ratio: what share of all edges would be there if they were all alike
                found["spread"].append(float(inner.sum().square() / (inner.square().sum() * inner.numel())))
                found["tested"].append({str(count): score for count, score in sorted(result.tested.items())})
                found["whole"] = result.whole
                found["graph"].append(_strongest(edges, counted))
        return found

    def summarise(self, items: Items) -> Summary:
        """Edges needed by basis, the ratios to PCA, the ablation curves and the graph of the first model."""
        sections = items.metadata["sections"]
        total = {b: np.sum([items[f"needed/{b}/{n}"] for n in range(len(sections))], 0) for b in self.bases}
        options: dict[str, Any] = {"n_of": "models"}
        whole, specs = items["whole"], self.measure_specs()
        measures: dict[str, Measure] = {
            "score": self.measure("score", whole, items, shares=True, **options)
            if self.task == "modular_addition"
            else over_models(specs["score"], whole)
        }
        for basis, values in total.items():
            measures[f"needed.{basis}"] = over_models(specs[f"needed.{basis}"], values)
        for basis in self.bases:
            if basis == "pca":
                continue
            logs = np.log(np.maximum(total[basis], 1) / np.maximum(total["pca"], 1))
            measures[f"ratio.{basis}"] = self._ratio(logs)
            judged = {
                "fewer": np.less(total[basis], total["pca"]).astype(float),
                "equivalent": (np.abs(logs) <= np.log(self.margin)).astype(float),
            }
            for name, values in judged.items():
                measures[f"{name}.{basis}"] = self.measure(f"{name}.{basis}", values, items, shares=True, **options)
        control = self._control(items.metadata["planted"])
        return Summary(measures, tables=self._tables(items), figures=self._figures(items), positive_control=control)

    def _ratio(self, logs: Any) -> Measure:
        """The geometric mean of ratios, with the interval of the mean of their logarithms."""
        spec, (ends, reason) = self.measures["ratio"], interval_over_models(logs)
        if ends is not None:
            ends = ends.model_copy(update={"low": float(np.exp(ends.low)), "high": float(np.exp(ends.high))})
        fields: dict[str, Any] = {"unit": spec.unit, "better": spec.better, "n": len(logs), "n_of": "models"}
        return Measure(value=float(np.exp(np.mean(logs))), interval=ends, no_interval=reason, **fields)

    def _control(self, planted: dict[str, Any]) -> PositiveControl:
        """A linear network, in which the Local Interaction Basis needs one edge for each feature."""
        measures: dict[str, Measure] = {}
        if "lib" in self.bases:
            spec, reason = self.measures["ratio"], "one planted network"
            value = planted["lib"] / planted["pca"]
            fields: dict[str, Any] = {"unit": spec.unit, "better": spec.better, "n": 1, "n_of": "planted networks"}
            measures["ratio.lib"] = Measure(value=value, no_interval=reason, **fields)
        return PositiveControl(
            description=f"a random linear network: {planted['lib']} edges needed in the Local Interaction Basis, where "
            f"{planted['features']} are known to be enough, and {planted['pca']} between principal components",
            detected=planted["lib"] <= planted["features"] < planted["pca"],
            measures=measures,
            contents=(content_of("planted lines"),),
        )

    def _tables(self, items: Items) -> list[Table]:
        tables: list[Table] = []
        titles = {"needed": "Edges needed", "spread": "Spread of interactions"}
        captions = {
            "needed": f"Fewest edges found by bisection whose score is within {self.tolerance:g} of the whole model's; "
            "those of the constant are free.",
            "spread": "Participation ratio of the interactions, as a share of all: small where few are large.",
        }
        for name, title in titles.items():
            rows: list[tuple[str | int | float | None, ...]] = []
            for number in range(len(items.metadata["sections"])):
                for unit, subject in enumerate(items.units):
                    section = items.metadata["model_sections"][unit][number]
                    values = (float(items[f"{name}/{basis}/{number}"][unit]) for basis in self.bases)
                    rows.append((section, subject, *(round(v, 4) if name == "spread" else int(v) for v in values)))
            columns = ("section", "model", *self.bases)
            tables.append(Table(title=title, columns=columns, rows=tuple(rows), caption=captions[name]))
        return tables

    def _figures(self, items: Items) -> list[Figure]:
        figures: list[Figure] = []
        first = items.metadata["first"]
        y = "accuracy" if self.task == "modular_addition" else "cross-entropy (nats)"
        for number, section in enumerate(items.metadata["sections"]):
            series = {}
            for basis in self.bases:  # the order of keys is lost on disk
                points = sorted((int(k), v) for k, v in first[basis]["tested"][number].items() if int(k) > 0)
                series[basis] = ([k for k, _ in points], [v for _, v in points])
            title = f"Score by edges kept, {section}"
            figures.append(Chart.curves(series, title=title, x="edges kept", y=y, log_x=True))
        if "lib" in first:
            spectra = {}
            for section, strength in zip(items.metadata["sections"], first["lib"]["strength"], strict=True):
                largest = max(strength)
                shares = [value / largest for value in strength if value > 0]
                spectra[section.split(" to ")[0]] = (list(range(1, len(shares) + 1)), shares)
            title = "Strength of the features in the Local Interaction Basis"
            figures.append(Chart.curves(spectra, title=title, x="feature", y="share of the largest", log_y=True))
            figures.append(_draw(first["lib"]["graph"], items.metadata["sections"], str(items.units[0])))
        return figures


def planted_needs() -> dict[str, int]:
    """Edges needed between the two layers of a linear network for 99.9 % of the outputs' variance."""
    from toulmin.basis.ablation import edges_needed
    from toulmin.basis.build import local_interaction_basis, pca_basis
    from toulmin.basis.planted import planted_lines

    chain, x = planted_lines()
    outputs = chain.activations(x)[-1]

    def score(found: Any) -> float:
        return float(1 - (found - outputs).square().sum() / outputs.square().sum())

    needed: dict[str, int] = {}
    for name, make in (("lib", local_interaction_basis), ("pca", pca_basis)):
        graph = make(chain, [x], centred=False)
        needed[name] = edges_needed(chain, x, graph.rotations, graph.edges, 0, score).count
        needed.setdefault("features", min(rotation.width for rotation in graph.rotations))
    return needed


def _strongest(edges: Any, counted: Any, most: int = 16) -> list[list[float]]:
    """The largest of the interactions that count: feature after, feature before, strength."""
    values = (edges * counted).flatten()
    order = values.argsort(descending=True)[: min(most, int(counted.sum()))]
    width = edges.shape[1]
    return [[int(i) // width, int(i) % width, float(values[i])] for i in order]


def _draw(graph: list[list[list[float]]], sections: list[str], subject: str) -> GraphFigure:
    nodes: dict[str, Node] = {}
    edges: list[FigureEdge] = []
    layers = tuple(dict.fromkeys(site for section in sections for site in section.split(" to ")))
    for section, kept in zip(sections, graph, strict=True):
        here, there = (layers.index(site) for site in section.split(" to "))
        largest = max((strength for *_, strength in kept), default=1.0)
        for after, before, strength in kept:
            ends = (
                (f"{here}.{int(before)}", here, int(before)),
                (f"{there}.{int(after)}", there, int(after)),
            )
            for name, layer, feature in ends:
                nodes.setdefault(name, Node(id=name, label=str(feature), layer=layer))
            facts: Facts = {"interaction": strength}
            edges.append(FigureEdge(source=ends[0][0], target=ends[1][0], weight=strength / largest, facts=facts))
    ordered = sorted(nodes.values(), key=lambda node: (node.layer, int(node.label)))
    return GraphFigure(
        title="Strongest interactions in the Local Interaction Basis",
        caption=f"{subject}: at most 16 of the edges needed in each section; width by strength within the section.",
        nodes=tuple(ordered) or (Node(id="none", layer=0),),
        edges=tuple(edges),
        layers=layers,
        unit="share of the largest",
    )
