"""Circuits as figures: the diagram, curves over sizes, the card's heatmap, scores against exact effects. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.edges import parse_edge, receiver_components
from toulmin.evidence import Chart, GraphFigure, Heatmap, format_number
from toulmin.evidence.figures import FigureEdge, Node

if TYPE_CHECKING:
    from toulmin.circuits.discovery.agreement import AttributionAgreement
    from toulmin.circuits.faithfulness.card import Card, CardRow
    from toulmin.circuits.faithfulness.stability import Stability

Array = NDArray[np.float64]


def round_percent(percent: float) -> float:
    """A percentage for people: whole, with three digits below 1."""
    return float(f"{percent:.3g}") if abs(percent) < 1 else float(round(percent))


def draw_circuit(
    circuit: Circuit,
    scores: EdgeScores | None = None,
    *,
    title: str = "The circuit",
    tokens: Sequence[str] = (),
    most: int = 400,
) -> GraphFigure:
    """The circuit by layers, bottom to top; edges weighted by their score, a column a token where edges have positions.

    Edges of one head's Q, K and V inputs are told apart by group. A component that is split into terms is drawn with a
    line (group ``term``) to each of its terms in the circuit.

    :param most: of a larger circuit so many edges are drawn, those of largest absolute score (without scores, those
        nearest to the output), and the caption says so: thousands of lines show nothing, and a browser stalls on them.
    """
    whole = len(circuit)
    circuit = _largest(circuit, scores, most)
    graph, placed = circuit.graph, circuit.positions is not None
    columns = tuple(tokens) if tokens else tuple(str(i) for i in range(circuit.positions or 0))
    layer_of = _layers(circuit)
    edges: list[FigureEdge] = []
    used: dict[str, Node] = {}

    def node(name: str, position: int | None) -> str:
        key = name if position is None else f"{name}@{position}"
        component = name.partition(":")[0]
        group = "head" if ".H" in component else "mlp" if component.endswith("mlp") else component
        used.setdefault(key, Node(id=key, label=name, layer=layer_of[name], position=position, group=group))
        return key

    components = receiver_components(graph)
    for name in circuit:
        source, receiver = parse_edge(graph, name)
        slot = graph.receivers[receiver].partition("[")[2].rstrip("]") or "input"
        at: Sequence[int | None] = np.nonzero(circuit.table[source, receiver])[0].tolist() if placed else [None]
        for position in at:
            weight = 1.0
            if scores is not None:
                value = scores.values[source, receiver]
                weight = float(value[position] if value.ndim and position is not None else np.sum(value))
            ends = node(graph.sources[source], position), node(components[receiver], position)
            edges.append(
                FigureEdge(
                    source=ends[0], target=ends[1], weight=weight, group=slot, facts={"edge": name, "score": weight}
                )
            )
    for source, (component, term) in graph.split_terms.items():
        for end in [n for n in used.values() if n.label == source and term]:
            inner = node(component, end.position)
            edges.append(FigureEdge(source=inner, target=end.id, weight=0.0, group="term"))
    if not used:
        node("embed", 0 if placed else None)
    names = ("embed", *_layer_names(circuit), "logits")
    ordered = sorted(used.values(), key=lambda n: (n.layer, n.position or 0, n.id))
    what = f"{whole} of {graph.n_edges * (circuit.positions or 1)} edges"
    if len(circuit) < whole:
        what += f" ({len(circuit)} drawn, {'of largest score' if scores is not None else 'nearest to the output'})"
    return GraphFigure(
        title=title,
        caption=f"{what}; an edge's width is the size of its score, its colour the input it feeds.",
        alt=f"A circuit of {what} over {len(used)} components.",
        nodes=tuple(ordered),
        edges=tuple(edges),
        layers=names,
        positions=columns if placed else (),
        unit=scores.method if scores is not None else "",
    )


def draw_stability(found: Stability, *, most: int = 400) -> GraphFigure:
    """The edges of several circuits, those of the core (group ``core``) apart from the contingent ones.

    :param most: so many edges are drawn, those in most circuits.
    """
    frequency = EdgeScores(found.core.graph, found.frequency, "share of circuits")
    figure = draw_circuit(found.core | found.contingent, frequency, title="Core and contingent edges", most=most)
    core = set(found.core)
    edges = tuple(
        edge.model_copy(update={"group": "core" if edge.facts.get("edge") in core else "contingent"})
        for edge in figure.edges
    )
    counts = f"{len(found.core)} edges are in at least {found.threshold:.0%} of {len(found.sizes)} circuits"
    counts += f" (core), {len(found.contingent)} in fewer (contingent)"
    caption = f"{counts}; {figure.caption.partition(';')[0]}. An edge's width is the share of circuits that have it."
    return figure.model_copy(update={"edges": edges, "caption": caption, "alt": f"{counts}."})


def _largest(circuit: Circuit, scores: EdgeScores | None, most: int) -> Circuit:
    """At most ``most`` edges of the circuit; edges at positions count where they are."""
    places = np.argwhere(circuit.table)
    if len(places) <= most:
        return circuit
    order = -places[:, 1]
    if scores is not None:
        values = (
            scores.values if circuit.positions is not None else scores.values.reshape(*circuit.table.shape, -1).sum(-1)
        )
        order = -np.abs(values[tuple(places[:, : values.ndim].T)])
    table = np.zeros_like(circuit.table)
    table[tuple(places[np.argsort(order, kind="stable")[:most]].T)] = True
    return Circuit(circuit.graph, table)


def _layers(circuit: Circuit) -> dict[str, int]:
    graph = circuit.graph
    steps = 1 + graph.has_mlp
    found = dict.fromkeys((*graph.inputs, *(component.name for component in graph.components)), 0)
    found["logits"] = 1 + graph.n_layers * steps
    for stage in graph.stages[:-1]:
        for component in stage.components:
            row = 1 + stage.layer * steps + (1 if stage.kind == "mlp" else 0)
            found |= dict.fromkeys((component.name, *component.sources), row)
    return found


def _layer_names(circuit: Circuit) -> list[str]:
    parts = ("attention", "MLP") if circuit.graph.has_mlp else ("attention",)
    return [f"L{layer} {part}" for layer in range(circuit.graph.n_layers) for part in parts]


def draw_curves(
    curves: Mapping[str, tuple[Array, Array]], *, title: str, y: str, threshold: float | None = None
) -> Chart:
    """Faithfulness over circuit sizes: name -> (edges, values), sizes on a logarithmic axis (size 0 is left out)."""
    series = {name: (x[x > 0], values[x > 0]) for name, (x, values) in curves.items()}
    lines = "; ".join(f"{name} reaches {values[-1]:.3g} at {x[-1]:.0f} edges" for name, (x, values) in series.items())
    return Chart.curves(
        series, title=title, x="edges in the circuit", y=y, log_x=True, threshold=threshold, caption=lines, alt=lines
    )


def draw_card(card: Card) -> Heatmap:
    """The card: a row a methodology, a column a metric with its aggregation and baseline, percent recovered."""
    rows = list(dict.fromkeys(str(row.methodology) for row in card.rows))
    columns = list(dict.fromkeys(_column(row) for row in card.rows))
    at = {(str(row.methodology), _column(row)): row for row in card.rows}
    values = [[at[r, c].value if (r, c) in at else None for c in columns] for r in rows]
    low = [[_end(at.get((r, c)), 0) for c in columns] for r in rows]
    high = [[_end(at.get((r, c)), 1) for c in columns] for r in rows]
    text = [[format_number(round_percent(at[r, c].value)) if (r, c) in at else "" for c in columns] for r in rows]
    lowest, highest = (format_number(round_percent(row.value)) for row in (card.lowest, card.highest))
    note = f"from {lowest}% to {highest}% on the same {card.n} prompts"
    return Heatmap.model_validate(
        {
            "title": "One circuit, every faithfulness number",
            "caption": f"Percent of the model's effect recovered: {note}. Threshold {card.threshold:g}%.",
            "alt": f"Heatmap of {len(card.rows)} percentages, {note}.",
            "x_labels": columns,
            "y_labels": rows,
            "values": values,
            "low": low,
            "high": high,
            "text": text,
            "x_title": "metric, aggregation, baseline",
            "y_title": "methodology",
            "unit": "%",
            "centre": card.threshold,
            "threshold": card.threshold,
        }
    )


def _column(row: CardRow) -> str:
    how = "mean of %" if row.aggregation == "mean_of_percents" else "% of means"
    return f"{row.metric}, {how}" + (", from 0" if row.baseline == "zero" else "")


def _end(row: CardRow | None, which: int) -> float | None:
    if row is None or row.interval is None:
        return None
    return row.interval.high if which else row.interval.low


def draw_agreement(agreement: AttributionAgreement) -> Chart:
    """Attribution scores against exact effects, one point an edge."""
    return Chart.scatter(
        agreement.effects,
        agreement.scores,
        title=f"{agreement.method} against exact effects",
        x="exact effect of cutting the edge",
        y="attribution score",
        caption=agreement.sentence,
        alt=agreement.sentence,
    )


def draw_percents(card: Card) -> Chart:
    """How the per-prompt percentages spread in the rows with the lowest and the highest number."""
    chosen = {row.name: row.percents[np.isfinite(row.percents)] for row in (card.lowest, card.highest)}
    clipped = {name: np.clip(values, -200.0, 400.0) for name, values in chosen.items() if len(values)}
    return Chart.histogram(
        clipped,
        title="Per-prompt percentages in the lowest and the highest row",
        unit="%",
        threshold=card.threshold,
        caption="One prompt a count; values beyond -200% and 400% are drawn there.",
        alt=f"Histograms of {' and '.join(clipped)}.",
    )
