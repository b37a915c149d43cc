"""A hypothesis drawn on the model, as a figure: its components by layer, and the edges its paths run along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from toulmin.evidence import GraphFigure as Drawing
from toulmin.evidence.figures import FigureEdge, Node
from toulmin.patching import ALL_PATHS, NO_PATHS, ROOT, Graph, PathSet, Port, split_name
from toulmin.paths.explained import count_text
from toulmin.paths.hypothesis import Hypothesis
from toulmin.paths.space import Space

if TYPE_CHECKING:
    from toulmin.subjects import Subject, Transformer
    from toulmin.tasks import Pair

MOST = 400  #: edges of a drawing


def draw(
    model: Transformer | Subject,
    hypothesis: str | Hypothesis,
    length: int,
    *,
    baseline: str | Hypothesis | None = None,
    pairs: Iterable[Pair] = (),
) -> Drawing:
    """The components and edges of the paths that a hypothesis adds to its baseline, on prompts of ``length`` tokens.

    :param baseline: paths taken for granted and not drawn, such as ``!L1.H{5,6}``; default none. The weight of an edge
        is the share of the drawn paths that run along it. Of more than 400 edges those with the largest shares are
        drawn, and the caption says so: a hypothesis about a model of 30 layers has a hundred thousand.
    :param pairs: needed where the hypothesis names positions of the task.
    :raises FaultError: as :func:`toulmin.paths.evaluate`.
    """
    from toulmin.paths.evaluation import listed, space_of
    from toulmin.tasks import check_model

    both = listed([hypothesis] if baseline is None else [hypothesis, baseline])
    space = space_of(check_model(model), both, length, pairs=list(pairs))
    return draw_in(space, both[0], None if baseline is None else both[1])


def draw_in(space: Space, hypothesis: Hypothesis, baseline: Hypothesis | None = None) -> Drawing:
    """The drawing over a space that is already made."""
    made = space.compile(hypothesis)
    if baseline is not None:
        made = made - space.compile(baseline)
    along = _paths_along(made)
    drawn = dict(sorted(along.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST])
    total = max(1, made.count())
    edges = tuple(
        FigureEdge(
            source=source,
            target=target,
            weight=count / total,
            group=slot if slot != "in" else "",
            facts={"input": slot, "paths": count},
        )
        for (source, target, slot), count in sorted(drawn.items())
    )
    left = f"; of {len(along)} edges the {MOST} that most paths run along are drawn" if len(along) > MOST else ""
    used = {end for edge in edges for end in (edge.source, edge.target)} | {"logits"}
    names = [name for name in (*space.graph.sources, "logits") if name in used]
    layers = _layers(space.graph)
    return Drawing(
        title=hypothesis.label[:80],
        caption=f"{count_text(made.count())} paths"
        + (f" beyond {baseline.label}" if baseline is not None else "")
        + f"{left}.",
        alt=f"{len(names)} components and {len(edges)} edges: {', '.join(names[:8])}.",
        nodes=tuple(Node(id=n, label=n, layer=_height(n, space.graph), group=_kind(n)) for n in names),
        edges=edges,
        layers=layers,
        unit="share of paths",
    )


def _paths_along(made: PathSet) -> Counter[tuple[str, str, str]]:
    """How many paths of the set run along each (sender, receiver, input), whatever the positions."""
    dag, reach = made.dag, made.reachable()
    below: dict[tuple[str, int], int] = {}
    full: dict[str, int] = {}
    for node in dag.order:
        links = dag.in_links[node]
        full[node] = sum(full[link.sender] for link in links) if links else 1
        below[node, NO_PATHS], below[node, ALL_PATHS] = 0, full[node]
        for state in reach[node]:
            children = dag.children(node, state)
            below[node, state] = sum(below[link.sender, c] for link, c in zip(links, children, strict=True))
    above: Counter[tuple[str, int]] = Counter({(dag.output, made.state): 1})
    along: Counter[tuple[str, str, str]] = Counter()
    for node in reversed(dag.order):
        for state in (*sorted(reach[node]), ALL_PATHS):
            ways = above[node, state]
            if not ways:
                continue
            for link, child in zip(dag.in_links[node], dag.children(node, state), strict=True):
                if child == NO_PATHS or not below[link.sender, child]:
                    continue
                above[link.sender, child] += ways
                if link.receiver != ROOT:
                    port = link.label
                    assert isinstance(port, Port)
                    key = (split_name(link.sender)[0], split_name(link.receiver)[0], port.slot)
                    along[key] += ways * below[link.sender, child]
    return along


def _layers(graph: Graph) -> tuple[str, ...]:
    names = ["embedding"]
    for layer in range(graph.n_layers):
        names += [f"L{layer} heads"] + ([f"L{layer} MLP"] if graph.has_mlp else [])
    return (*names, "logits")


def _height(name: str, graph: Graph) -> int:
    per_layer = 1 + graph.has_mlp
    if name.startswith("embed"):
        return 0
    if name == "logits":
        return 1 + graph.n_layers * per_layer
    layer = int(name[1 : name.index(".")])
    return 1 + layer * per_layer + (1 if name.endswith("mlp") else 0)


def _kind(name: str) -> str:
    return (
        "head" if ".H" in name else "mlp" if name.endswith("mlp") else "input" if name.startswith("embed") else "output"
    )
