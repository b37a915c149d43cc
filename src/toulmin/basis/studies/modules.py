"""The study ``basis.modules``: are there modules in the interactions, and are they the ones that are known?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from toulmin.basis.studies.data import (
    BasisName,
    Prepared,
    build_basis,
    needed_of_section,
    over_models,
    prepare_addition,
)
from toulmin.basis.studies.interaction import BASIS_DOUBTS
from toulmin.evidence import Chart, Figure, GraphFigure, Measure, PositiveControl, Table, content_of
from toulmin.evidence.figures import FigureEdge, Node
from toulmin.studies import Cost, Doubt, Input, Items, Json, MeasureSpec, Run, Study, Summary, keep_piece

MODULARITY_DOUBT = Doubt(
    "null",
    "Rewired graphs keep degrees and weights, but not other structure that a network without modules may have.",
    "the same measurement on networks that are known to have no modules",
)


class ModulesStudy(Study):
    """Communities of features in transformers that add modulo a prime, against rewired graphs and against the truth.

    What such a network computes is known: waves of a few frequencies. ``one_community`` is, averaged over those
    frequencies, the largest share of a frequency's energy over features that falls in one community.
    """

    kind: ClassVar = "basis.modules"
    version: ClassVar = 1
    measures: ClassVar = {
        "modularity": MeasureSpec("1", "higher", "mean over models of Q of the best communities found", -1, 1),
        "excess": MeasureSpec("1", "higher", "the same less the mean Q of rewired graphs", -2, 2),
        "one_community": MeasureSpec("1", "higher", "mean over models of a frequency's share in one community", 0, 1),
        "one_community_excess": MeasureSpec(
            "1", "higher", "the same less that of communities of rewired graphs", -1, 1
        ),
    }
    presets: ClassVar = {
        "tiny": {"subjects": ("embedded:addition-23",), "share": 0.7, "bases": ("pca",), "rewired": 2, "trials": 1},
        "demo": {"subjects": ("embedded:addition-23",), "share": 0.7, "rewired": 10},
        "full": {"subjects": ("embedded:addition-23",), "share": 0.7, "rewired": 50},
    }
    doubts: ClassVar = (*BASIS_DOUBTS, MODULARITY_DOUBT)

    subjects: tuple[str, ...] = Field(min_length=1)  #: references of transformers, each one unit
    bases: tuple[BasisName, ...] = Field(default=("neurons", "pca", "lib"), min_length=1)
    share: float = Field(default=0.3, gt=0, lt=1)  #: of all pairs, those that the bases are built from
    tolerance: float = Field(default=1e-3, gt=0)  #: accuracy that may be lost: sets the smallest interaction
    resolution: float = Field(default=1.0, gt=0)  #: of Leiden; higher gives more communities
    rewired: int = Field(default=20, ge=1)
    trials: int = Field(default=5, ge=1)
    energy: float = Field(default=0.9, gt=0, lt=1)  #: the frequencies that count: this share of the waves' energy
    max_megabytes: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if len(set(self.bases)) != len(self.bases) or len(set(self.subjects)) != len(self.subjects):
            raise ValueError("a subject or a basis is named twice")
        return self

    def measure_specs(self) -> dict[str, MeasureSpec]:
        """Each measure for each basis."""
        return {f"{name}.{basis}": spec for name, spec in self.measures.items() for basis in self.bases}

    def inputs(self) -> tuple[Input, ...]:
        """The subjects."""
        return tuple(self.input(f"subject {number}", reference) for number, reference in enumerate(self.subjects))

    def seed_changes_data(self) -> bool:
        """The pairs of modular addition are all there are."""
        return False

    def cost(self) -> Cost:
        """About a minute for each model and basis."""
        return Cost(seconds=60.0 * len(self.subjects) * len(self.bases), bytes=2 * self.max_megabytes * 2**20)

    def collect(self, run: Run) -> Items:
        """Bases, edges needed, communities and their nulls; kept in the working folder."""
        run.prepare_torch()
        rows: list[dict[str, Any]] = []
        for number, subject in enumerate(run.track(self.subjects, "models")):
            prepared: Prepared | None = None
            for basis in self.bases:

                def make(subject: str = subject, basis: BasisName = basis) -> Json:
                    nonlocal prepared
                    if prepared is None:
                        prepared = prepare_addition(subject, self.resolver, self.share)
                    return self._modules(prepared, basis, run)

                rows.append(keep_piece(run.workdir, f"{number}-{basis}", make))
        count = len(self.bases)
        names = ("modularity", "excess", "one_community", "one_community_excess", "p_value", "communities")
        columns = {
            f"{name}/{basis}": np.array([float(rows[unit * count + k][name]) for unit in range(len(self.subjects))])
            for k, basis in enumerate(self.bases)
            for name in names
        }
        last = rows[count - 1]
        metadata = {key: last[key] for key in ("graph", "sites")} | {
            "frequencies": [r["frequencies"] for r in rows[::count]],
            "planted": self._planted(),
        }
        return Items(list(self.subjects), columns, metadata=metadata)

    def _modules(self, prepared: Prepared, basis: BasisName, run: Run) -> dict[str, Any]:
        from toulmin.basis.groups.fourier import community_shares, fourier_shares, main_frequencies
        from toulmin.basis.modules import interaction_weights, modules

        graph = build_basis(basis, prepared, seed=run.seed, max_bytes=self.max_megabytes * 2**20)
        chain = prepared.chain
        smallest: list[float] = []
        for number, edges in enumerate(graph.edges):
            _, counted = needed_of_section(prepared, graph, number, tolerance=self.tolerance)
            smallest.append(float(edges[counted].min()))
        # the smallest edge itself would have weight log 1 = 0
        weights = interaction_weights(graph, [value / 2 for value in smallest])
        result = modules(weights, resolution=self.resolution, rewired=self.rewired, trials=self.trials, seed=run.seed)

        # what each feature is about, on all pairs, at the two places of the last position's stream
        assert prepared.everything is not None
        at = chain.activations(prepared.everything)
        p, sites = prepared.modulus, (1, 2)
        about = [fourier_shares((at[site][:, 0] @ graph.rotations[site].C).numpy().reshape(p, p, -1)) for site in sites]
        frequencies = main_frequencies(at[2][:, 0, :-1].numpy().reshape(p, p, -1), self.energy)

        def truth(communities: Sequence[Any]) -> float:
            together = np.concatenate([part.by_frequency for part in about])
            members = np.concatenate([communities[site] for site in sites])
            return float(community_shares(together, members)[frequencies - 1].mean())

        known = truth(result.communities)
        labels = {site: part.labels() for site, part in zip(sites, about, strict=True)}
        return {
            "modularity": result.modularity,
            "excess": result.excess,
            "p_value": result.p_value,
            "one_community": known,
            "one_community_excess": known - float(np.mean([truth(other) for other in result.null_communities])),
            "communities": result.count,
            "frequencies": frequencies.tolist(),
            "sites": list(chain.sites),
            "graph": _strongest(weights, result.communities, labels),
        }

    def _planted(self) -> dict[str, Any]:
        """What is found of two planted modules: sizes of the communities of the first hidden layer, Q, and its null."""
        from toulmin.basis.build import local_interaction_basis
        from toulmin.basis.modules import interaction_weights, modules
        from toulmin.basis.planted import MODULE_SIZES, planted_modules

        chain, x = planted_modules()
        graph = local_interaction_basis(chain, [x])
        noise = 1e-9 * max(float(edges.max()) for edges in graph.edges)
        weights = interaction_weights(graph, [noise] * len(graph.edges))
        result = modules(weights, resolution=self.resolution, rewired=max(10, self.rewired), trials=self.trials)
        # feature 0 is the constant
        sizes = np.bincount(result.communities[1][1:])
        return {
            "sizes": sorted(sizes.tolist()),
            "known": sorted(MODULE_SIZES),
            "modularity": result.modularity,
            "excess": result.excess,
            "p_value": result.p_value,
        }

    def _control(self, planted: dict[str, Any]) -> PositiveControl:
        measures: dict[str, Measure] = {}
        if "lib" in self.bases:
            for name in ("modularity", "excess"):
                spec = self.measures[name]
                fields: dict[str, Any] = {"unit": spec.unit, "better": spec.better, "n": 1, "n_of": "planted networks"}
                measures[f"{name}.lib"] = Measure(value=planted[name], no_interval="one planted network", **fields)
        return PositiveControl(
            description=f"two planted modules of {planted['known']} features, hidden by an affine map: the Local "
            f"Interaction Basis finds communities of {planted['sizes']}, Q above that of rewired graphs with "
            f"p = {planted['p_value']:.2g}",
            detected=planted["sizes"] == planted["known"] and planted["p_value"] < 0.1,
            measures=measures,
            contents=(content_of("planted modules"),),
        )

    def summarise(self, items: Items) -> Summary:
        """Each measure by basis, a table of the models, a chart, and the graph of the first model in the last basis."""
        measures = {
            f"{name}.{basis}": over_models(self.measures[name], items[f"{name}/{basis}"])
            for name in self.measures
            for basis in self.bases
        }
        columns = ("modularity", "excess", "p_value", "communities", "one_community", "one_community_excess")
        rows: list[tuple[str | int | float | None, ...]] = []
        for unit, subject in enumerate(items.units):
            waves = " ".join(map(str, items.metadata["frequencies"][unit]))
            for basis in self.bases:
                values = (round(float(items[f"{name}/{basis}"][unit]), 4) for name in columns)
                rows.append((subject, waves, basis, *values))
        table = Table(
            title="Communities of features",
            columns=("model", "frequencies", "basis", *columns),
            rows=tuple(rows),
            caption="p_value: share of rewired graphs of at least this modularity. one_community: share of a "
            "frequency's energy over features in one community, mean over frequencies; excess: over rewired graphs.",
        )
        figures: list[Figure] = [_draw(items.metadata["graph"], items.metadata["sites"], str(items.units[0]))]
        labels = [basis for basis in self.bases for _ in items.units]
        values = np.concatenate([items[f"one_community/{basis}"] for basis in self.bases])
        null = values - np.concatenate([items[f"one_community_excess/{basis}"] for basis in self.bases])
        figures.append(
            Chart.scatter(
                null,
                values,
                x="in communities of rewired graphs",
                y="in the communities found",
                groups=labels,
                title="Share of a frequency's energy in one community",
            )
        )
        control = self._control(items.metadata["planted"])
        return Summary(measures, tables=[table], figures=figures, positive_control=control)


def _strongest(
    weights: list[Any], communities: Sequence[Any], labels: dict[int, list[str]], most: int = 30, width: int = 12
) -> dict[str, Any]:
    """The heaviest edges of each section between the ``width`` heaviest features of each site, and the nodes at their
    ends: site, feature, community, label."""
    heavy: list[set[int]] = []
    for site in range(len(weights) + 1):
        total = weights[site].sum(0) if site < len(weights) else 0
        total = total + (weights[site - 1].sum(1) if site else 0)
        heavy.append(set(np.argsort(total)[::-1][:width].tolist()))
    nodes: dict[tuple[int, int], list[Any]] = {}
    edges: list[list[float]] = []
    for number, w in enumerate(weights):
        drawn = 0
        for flat in np.argsort(w, axis=None)[::-1]:
            after, before = divmod(int(flat), w.shape[1])
            if w[after, before] <= 0 or drawn == most:
                break
            if before not in heavy[number] or after not in heavy[number + 1]:
                continue
            drawn += 1
            edges.append([number, after, before, float(w[after, before])])
            for site, feature in ((number, before), (number + 1, after)):
                label = labels[site][feature] if site in labels else str(feature)
                nodes[site, feature] = [site, feature, int(communities[site][feature]), label]
    return {"nodes": list(nodes.values()), "edges": edges}


def _draw(graph: dict[str, Any], sites: list[str], subject: str) -> GraphFigure:
    nodes = [
        Node(
            id=f"{site}.{feature}",
            # in the Fourier basis, such as "17 (a+b) 0.93": the frequency and kind, the share is among the facts
            label=label.rsplit(" ", 1)[0] if "(" in label else str(feature),
            layer=site,
            group=f"module {community}",
            facts={"feature": feature, "Fourier label": label, "module": community},
        )
        for site, feature, community, label in sorted(graph["nodes"], key=lambda node: (node[0], node[2], node[1]))
    ]
    edges = [
        FigureEdge(
            source=f"{int(number)}.{int(before)}",
            target=f"{int(number) + 1}.{int(after)}",
            weight=weight,
            facts={"log10 of strength": weight},
        )
        for number, after, before, weight in graph["edges"]
    ]
    return GraphFigure(
        title="Modules of features",
        caption=f"{subject}: at most 30 interactions of each section, between the 12 heaviest features of each site; "
        "modules by colour. Names are the frequency and kind of wave that the feature is most about, or its number.",
        nodes=tuple(nodes),
        edges=tuple(edges),
        layers=tuple(sites),
        unit="log10 of strength over the smallest kept",
    )
