"""What is routed where: :class:`Route` and :class:`RoutePlan`, plain data that need no tensors.

Gradient routing (Cloud et al. 2024, section 3) multiplies, for each data point, the gradient along chosen edges of the
graph of the computation by a weight alpha, and leaves the forward pass alone:

    d~L/dv = sum over children u of  alpha(v, u) d~L/du du/dv

A route says which label's data is concerned, where (activations, parameters, or both), and the weights inside and
outside the region.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, TypeAlias, get_args

from toulmin.faults import Fault, FaultError

Kind = Literal["activation", "parameter", "forward"]
Scope = Literal["model", "matched"]
Dims: TypeAlias = "slice | Sequence[int]"

RETAIN = "retain"  #: the label of data that is known to belong to no region
UNLABELLED = -1  #: the label of data of which nothing is known: every weight is 1


@dataclass(frozen=True)
class Route:
    """Where the gradient of the data with one label goes.

    ``label`` names the region (a capability, a topic), or is ``"retain"``: a route of the data that belongs to none.

    Kinds:

    - ``"activation"``: at the outputs of the modules (or methods) that ``at`` matches, the gradient of labelled data is
      multiplied by ``inside`` in the dimensions ``dims`` and by ``outside`` elsewhere. The forward pass is identical.
      Weights that read the activation still get a gradient through the *outside* activations' values: see
      ``docs/routing.md``, "The leak".
    - ``"parameter"``: the gradients of parameters are multiplied by ``inside`` in the slices of ``params`` that belong
      to the units ``rows_or_cols``, and by ``outside`` elsewhere: in the whole model (``scope="model"``), or in the
      rest of the parameters matched (``scope="matched"``).
    - ``"forward"``: selective gradient masking (SGTM) as its published code does it. On retain data the units ``dims``
      at ``at`` are zero in the forward pass; on labelled data the forward pass is plain and the slices of ``params``
      outside the units, output biases included, get no gradient. ``rows_or_cols`` are ``dims`` unless given. With
      several regions, data of one see the units of the others as zero too (that code has one region): otherwise each
      would come to rely on the others, and no access profile but the full one would work.

    Patterns name modules or parameters; ``*`` stands for one part of a name, ``**`` for several. ``at`` may end in the
    name of a method (``layers.*.mlp.post``), ``params`` in that of a parameter. For a module that is an MLP the slices
    follow from its layout (rows of what reads, columns of what writes); for a single parameter give ``axis``.
    """

    label: str
    at: str | None = None
    dims: Dims | None = None
    params: str | None = None
    rows_or_cols: Dims | None = None
    inside: float = 1.0
    outside: float = 0.0
    kind: Kind = "activation"
    axis: int | None = None  #: of the parameter (``params``), or of the activation (default: the last)
    scope: Scope | None = None  #: default ``model`` for parameter routes, ``matched`` for forward masks

    @property
    def units(self) -> Dims | None:
        """The units of the parameters' slices."""
        return self.rows_or_cols if self.rows_or_cols is not None else self.dims

    @property
    def reach(self) -> Scope:
        """Which parameters ``outside`` concerns."""
        return self.scope or ("model" if self.kind == "parameter" else "matched")

    def __str__(self) -> str:
        place = " ".join(part for part in (self.at, self.params) if part)
        return f"{self.label}: {self.kind} {place}"

    def faults(self) -> list[Fault]:
        """Everything wrong with the route by itself."""
        found: list[str] = []
        if self.kind not in get_args(Kind):
            found.append(f"kind {self.kind!r} is not one of {', '.join(get_args(Kind))}")
        if self.scope is not None and self.scope not in get_args(Scope):
            found.append(f"scope {self.scope!r} is not one of {', '.join(get_args(Scope))}")
        if not self.label:
            found.append("a route needs a label")
        if not (isfinite(self.inside) and isfinite(self.outside)):
            found.append("inside and outside must be finite")
        if self.kind in ("activation", "forward"):
            found += [f"a route of kind {self.kind} needs at" for _ in "1" if self.at is None]
            found += [f"a route of kind {self.kind} needs dims" for _ in "1" if self.dims is None]
        if self.kind in ("parameter", "forward"):
            found += [f"a route of kind {self.kind} needs params" for _ in "1" if self.params is None]
            found += [f"a route of kind {self.kind} needs rows_or_cols" for _ in "1" if self.units is None]
        if self.kind == "parameter" and self.at is not None:
            found.append("a parameter route has no at: what it routes are parameters")
        if self.kind == "activation" and self.scope is not None:
            found.append("an activation route has no scope")
        if self.kind == "forward" and (self.label == RETAIN or (self.inside, self.outside) != (1.0, 0.0)):
            found.append("a forward mask is 1 inside and 0 outside, and of a region's label")
        return [Fault("routing.route", text, name=str(self)) for text in found]


@dataclass(frozen=True)
class RoutePlan:
    """The routes of a training run.

    ``labels`` are the names of the regions in the order in which integer labels and the columns of float labels number
    them: that of the routes. The label ``"retain"`` comes after them.

    :raises FaultError: (``routing.route``) every fault of every route.
    """

    routes: Sequence[Route]
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "routes", tuple(self.routes))
        names = dict.fromkeys(route.label for route in self.routes if route.label != RETAIN)
        object.__setattr__(self, "labels", tuple(names))
        faults = [fault for route in self.routes for fault in route.faults()]
        if not self.routes:
            faults.append(Fault("routing.route", "a plan needs at least one route"))
        elif not names:
            faults.append(Fault("routing.route", "a plan needs a region: every route is of the label retain"))
        if faults:
            raise FaultError(faults)

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The regions' labels, then ``"retain"``."""
        return (*self.labels, RETAIN)

    def of(self, labels: Iterable[str]) -> list[Route]:
        """The routes of these regions.

        :raises FaultError: (``routing.label``) there is no such region, with the names that there are.
        """
        wanted = list(labels)
        unknown = [name for name in wanted if name not in self.labels]
        if unknown:
            hint = f"the regions are {', '.join(self.labels)}"
            raise FaultError([Fault("routing.label", "is no region of the plan", name=n, hint=hint) for n in unknown])
        return [route for route in self.routes if route.label in wanted]
