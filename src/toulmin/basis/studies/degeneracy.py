"""The study ``basis.degeneracy``: do networks that are more degenerate generalise further?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from toulmin.evidence import Chart, Measure, PositiveControl, Table, bootstrap, content_of
from toulmin.faults import FaultError
from toulmin.studies import Cost, Doubt, Input, Items, MeasureSpec, Run, Study, Summary, keep_piece

if TYPE_CHECKING:
    from toulmin.basis.degeneracy.spectra import Rank

#: how each network's degeneracy is measured: the column of the items, and what it is
PREDICTORS = {
    "rank": "effective parameters: the rank of the parameter Jacobian on the training data",
    "formula": "effective parameters by the formula for one hidden layer, exact where its condition holds",
    "free": "free directions: parameters less effective parameters",
    "dead": "hidden neurons that never fire on the training data",
    "spectral": "effective rank of the hidden activations: the exponential of their spectrum's entropy",
    "llc": "local learning coefficient on the training loss, sampled",
    "representations": "effective number of irreducible representations in the incoming weights",
}
#: those that are also held against the number of representations, the structure that is known
STRUCTURAL = ("rank", "formula", "spectral", "llc")


class Degeneracy(Study):
    """Effective parameters and the learning coefficient of many small networks, against how they generalise.

    Networks of one hidden ReLU layer learn the multiplication tables of finite groups, at several widths and from
    several seeds. Rank correlations are taken within networks of one group and width, so that width alone explains
    nothing, and averaged over these cells.
    """

    kind: ClassVar = "basis.degeneracy"
    version: ClassVar = 2
    measures: ClassVar = {
        **{
            f"rho.{name}": MeasureSpec(
                "1", "neither", f"Spearman, within group and width, with test loss; {text}", -1, 1
            )
            for name, text in PREDICTORS.items()
        },
        "rho.placebo": MeasureSpec("1", "neither", "the same of a random number in place of the degeneracy", -1, 1),
        **{
            f"structure.{name}": MeasureSpec("1", "neither", "the same with the number of representations", -1, 1)
            for name in STRUCTURAL
        },
        "across.rank": MeasureSpec(
            "1", "neither", "Spearman of the rank with test loss over all widths of a group", -1, 1
        ),
        "across.llc": MeasureSpec("1", "neither", "the same of the learning coefficient", -1, 1),
        "formula_exact": MeasureSpec("1", "higher", "share of networks whose rank is the formula's", 0, 1),
        "llc_refused": MeasureSpec("1", "lower", "share of networks whose chains disagree", 0, 1),
        "test_accuracy": MeasureSpec("1", "higher", "mean accuracy on products that were not trained on", 0, 1),
    }
    presets: ClassVar = {
        "tiny": {
            "groups": ("Z5",),
            "widths": (6, 8),
            "seeds": 5,
            "steps": 40,
            "chains": 2,
            "draws": 20,
            "burn": 10,
            "resamples": 200,
        },
        "demo": {"groups": ("Z11",), "widths": (12, 16, 24), "seeds": 8, "steps": 2000},
        "full": {"groups": ("Z23", "S4"), "widths": (24, 32, 40, 48, 64, 80), "seeds": 9, "steps": 3000},
    }
    doubts: ClassVar = (
        Doubt(
            "correlation",
            "A rank correlation over seeds does not show that degeneracy causes generalisation.",
            "an intervention that changes the degeneracy and nothing else",
        ),
        Doubt(
            "toy_networks",
            "Small networks on multiplication tables may differ from networks of interest.",
            "the same measurement on networks of the kind that the claim is about",
        ),
        Doubt(
            "sampler",
            "The learning coefficient depends on the step size, the localisation and the temperature of its sampler.",
            "the same ranking under other settings of the sampler",
        ),
    )

    groups: tuple[str, ...] = Field(default=("Z23",), min_length=1)  #: Z23, D12, S4 and the like
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(16, 24, 32), min_length=1)  #: hidden neurons
    seeds: int = Field(default=8, ge=2)  #: networks of each group and width
    share: float = Field(default=0.8, gt=0, lt=1)  #: of the table that is trained on
    steps: int = Field(default=4000, ge=1)
    batch: int | None = Field(default=None, ge=1)  #: pairs of a step of training; default all that are trained on
    lr: float = Field(default=1e-2, gt=0)
    decay: float = Field(default=0.5, ge=0)  #: AdamW's weight decay
    threshold: float = Field(default=1e-6, gt=0)  #: singular values below this share of the largest count as zero
    step: float = Field(default=1e-2, gt=0)  #: of the sampler
    localisation: float = Field(default=5.0, ge=0)
    sampler_batch: int | None = Field(default=None, ge=1)  #: pairs of a step of the sampler; default all
    chains: int = Field(default=4, ge=2)
    burn: int = Field(default=60, ge=0)
    draws: int = Field(default=160, ge=4)
    most_r_hat: float = Field(default=1.2, gt=1)
    resamples: int = Field(default=2000, ge=10)

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if len(set(self.groups)) != len(self.groups) or len(set(self.widths)) != len(self.widths):
            raise ValueError("a group or a width is named twice")
        return self

    def inputs(self) -> tuple[Input, ...]:
        """None: the networks are trained here, from the configuration alone."""
        return ()

    def cost(self) -> Cost:
        """Training, a spectrum and a sampler for each network."""
        networks = len(self.groups) * len(self.widths) * self.seeds
        each = 0.5e-3 * self.steps + 8e-3 * (self.burn + self.draws) + 5 * (max(self.widths) / 64) ** 3
        return Cost(seconds=4 + networks * each)

    def collect(self, run: Run) -> Items:
        """Train every network, and measure it."""
        run.prepare_torch()
        cells = [(group, width) for group in self.groups for width in self.widths]
        rows: list[dict[str, float]] = []
        names: list[str] = []
        spectra: dict[str, list[list[float]]] = {}
        for group, width in run.track(cells, "groups and widths"):
            piece = keep_piece(run.workdir, f"{group}-{width}", lambda g=group, w=width: self._cell(g, w, run))
            spectra[f"{group}, width {width}"] = piece["spectrum"]
            found = piece["rows"]
            rows += found
            names += [f"{group}/width {width}/seed {run.seed + number}" for number in range(len(found))]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        cell = [f"{group}/{width}" for group, width in cells for _ in range(self.seeds)]
        columns["cell"] = np.array(cell)
        contents = [content_of(name, self.share, self.steps, self.lr, self.decay) for name in names]
        notes = ["all networks of a group share one split of its table; seeds differ in initial weights"]
        metadata = {"data_notes": notes, "planted": self._planted(), "spectra": spectra}
        return Items(names, columns, metadata=metadata, contents=contents)

    def _planted(self) -> list[list[Any]]:
        """Networks whose effective parameters are known: kind, how many, what is known, and what is counted."""
        from toulmin.basis.degeneracy.effective import effective_parameters
        from toulmin.basis.degeneracy.parameters import parameter_rank
        from toulmin.basis.planted import PLANTED_DEGENERACY, planted_degeneracy

        found: list[list[Any]] = []
        for (kind, count), known in PLANTED_DEGENERACY.items():
            model, x = planted_degeneracy(kind, count)
            formula = effective_parameters(model, x).count
            found.append([kind, count, known, formula, parameter_rank(model, x).rank])
        return found

    def _cell(self, group: str, width: int, run: Run) -> dict[str, list[Any]]:
        """The rows of one group and width, and the spectrum of its first network around the gap."""
        from toulmin.basis.groups.population import group_data, held_out, train_population
        from toulmin.basis.groups.tables import group_table, isotypic_projectors

        data = group_data(group, self.share)
        projectors = isotypic_projectors(group_table(group))
        seeds = [run.seed + number for number in range(self.seeds)]
        folder = run.workdir / f"{group}-{width}"
        options: dict[str, Any] = {"steps": self.steps, "lr": self.lr, "decay": self.decay, "batch": self.batch}
        population = train_population(data, width, seeds, **options, folder=folder)
        loss, accuracy = held_out(population, data)
        rows: list[dict[str, float]] = []
        spectra: list[list[list[float]]] = []
        for number, seed in enumerate(seeds):
            row = {"loss": float(loss[number]), "accuracy": float(accuracy[number]), "seed": float(seed)}
            measured, rank = self._measure_network(population.network(number), data, projectors, seed)
            rows.append(row | measured)
            spectra.append(_around_gap(rank))
        return {"rows": rows, "spectrum": spectra[0]}

    def _measure_network(
        self, model: Any, data: Any, projectors: list[Any], seed: int
    ) -> tuple[dict[str, float], Rank]:
        import torch
        from torch.func import functional_call
        from torch.nn import functional

        from toulmin.basis.degeneracy.effective import effective_parameters, hidden_layer_rank
        from toulmin.basis.degeneracy.learning_coefficient import learning_coefficient
        from toulmin.basis.groups.tables import energy_shares
        from toulmin.basis.sections import with_constant

        x = data.inputs[data.train].double()
        answers = data.products[data.train]
        first, second = (layer for layer in model.layers)
        folded = torch.cat([first.weight.T, first.bias[None]]).detach()
        rank = hidden_layer_rank(folded, second.weight.T.detach(), with_constant(x), self.threshold)
        formula = effective_parameters(model, x, self.threshold)
        with torch.no_grad():
            hidden = torch.relu(first(x))
            spectrum = torch.linalg.svdvals(hidden - hidden.mean(0)).square()
            shares = (spectrum / spectrum.sum().clamp(min=1e-300)).clamp(min=1e-300)
            # one-hot inputs: a neuron's incoming weights are two functions on the group
            order = len(projectors[0])
            weights = first.weight.detach().numpy().T
            energy = np.concatenate([weights[:order], weights[order:]], 1)
            parts = (energy_shares(energy, projectors) * np.square(energy - energy.mean(0)).sum(0)).sum(1)
        parts = np.maximum(parts / parts.sum(), 1e-300)
        single = model.float()
        inputs = data.inputs[data.train]
        generator = torch.Generator().manual_seed(seed)

        def batch() -> Any:
            """The mean loss on some of the pairs."""
            some = torch.randperm(len(inputs), generator=generator)[: self.sampler_batch]
            return lambda p: functional.cross_entropy(functional_call(single, p, (inputs[some],)), answers[some])

        row = {
            "rank": float(rank.rank),
            "gap": float(min(rank.gap, 99.0)),
            "formula": float(formula.count),
            "valid": float(formula.valid),
            "free": float(formula.parameters - rank.rank),
            "dead": float(len(formula.dead)),
            "spectral": float(torch.exp(-(shares * shares.log()).sum())),
            "representations": float(np.exp(-(parts * np.log(parts)).sum())),
        }
        try:
            sampled = learning_coefficient(
                lambda p: functional.cross_entropy(functional_call(single, p, (inputs,)), answers),
                dict(single.named_parameters()),
                len(inputs),
                step=self.step,
                localisation=self.localisation,
                chains=self.chains,
                burn=self.burn,
                draws=self.draws,
                batches=None if self.sampler_batch is None else batch,
                most_r_hat=None,
                generator=generator,
            )
            row |= {"llc": sampled.value, "llc_error": sampled.error, "r_hat": min(sampled.r_hat, 99.0)}
        except FaultError:  # a loss that is not finite
            row |= {"llc": 0.0, "llc_error": 0.0, "r_hat": 99.0}
        return row, rank

    def summarise(self, items: Items) -> Summary:
        """Rank correlations with intervals over networks, a table of the cells, and scatter plots against the loss."""
        cells, loss = items["cell"], items["loss"]
        accepted = items["r_hat"] <= self.most_r_hat
        rng = np.random.default_rng(0)
        columns = {name: items[name] for name in PREDICTORS}
        columns["placebo"] = rng.normal(size=len(loss))
        measures: dict[str, Measure] = {}
        everything = np.ones(len(loss), dtype=bool)
        for name, values in columns.items():
            use = accepted if name == "llc" else everything
            measures[f"rho.{name}"] = self._correlation(f"rho.{name}", values, loss, cells, use)
            if (structure := f"structure.{name}") in self.measures:
                measures[structure] = self._correlation(structure, values, items["representations"], cells, use)
        groups = np.array([str(cell).split("/")[0] for cell in cells])
        measures["across.rank"] = self._correlation("across.rank", items["rank"], loss, groups, everything)
        measures["across.llc"] = self._correlation("across.llc", items["llc"], loss, groups, accepted)
        exact = (items["rank"] == items["formula"]).astype(float)
        shares = {"formula_exact": exact, "llc_refused": (~accepted).astype(float), "test_accuracy": items["accuracy"]}
        for name, values in shares.items():
            measures[name] = self.measure(name, values, items, shares=True, n_of="networks")
        figures = self._figures(items, measures)
        if spectra := items.metadata.get("spectra"):
            series = {
                name: ([at for at, _ in points], [share for _, share in points]) for name, points in spectra.items()
            }
            title = "Singular values of the parameter Jacobian around the rank"
            x, y = "place after the last that counts (0)", "share of the largest"
            caption = (
                f"First network of each group and width. Below the line ({self.threshold:g}) a value counts as zero."
            )
            figures.append(
                Chart.curves(series, title=title, caption=caption, x=x, y=y, log_y=True, threshold=self.threshold)
            )
        return Summary(measures, tables=[self._table(items)], figures=figures, positive_control=self._control(items))

    def _control(self, items: Items) -> PositiveControl:
        planted = items.metadata["planted"]
        right = [known == formula == rank for _, _, known, formula, rank in planted]
        spec = self.measures["formula_exact"]
        share = Measure(
            value=sum(right) / len(right),
            unit=spec.unit,
            better=spec.better,
            n=len(right),
            n_of="planted networks",
            no_interval="the planted networks are no sample of a population",
        )
        return PositiveControl(
            description=f"{len(right)} networks with planted degeneracy, of which {sum(right)} are counted exactly",
            detected=all(right),
            measures={"formula_exact": share},
            contents=tuple(content_of("planted degeneracy", kind, count) for kind, count, *_ in planted),
        )

    def _correlation(self, name: str, values: Any, others: Any, cells: Any, use: Any) -> Measure:
        """Spearman's correlation of ranks within each cell, pooled over cells, with a bootstrap over networks."""
        spec = self.measures[name]
        fixed: dict[str, Any] = {"unit": spec.unit, "better": spec.better, "n_of": "networks"}
        values, others, cells = values[use], others[use], cells[use]
        if len(values) < 3:
            return Measure(value=0.0, n=max(1, len(values)), no_interval="fewer than three networks are left", **fixed)
        point = within_cells(values, others, cells)
        if point is None:
            reason = "the quantity is the same for all networks of a cell"
            return Measure(value=0.0, n=len(values), no_interval=reason, **fixed)

        def statistic(chosen: Any) -> float:
            index = chosen.astype(int)
            found = within_cells(values[index], others[index], cells[index])
            return 0.0 if found is None else found

        interval = bootstrap(
            statistic, np.arange(len(values), dtype=float), resamples=self.resamples, method="percentile"
        )
        return Measure(value=point, n=len(values), interval=interval, **fixed)

    def _table(self, items: Items) -> Table:
        names = ("accuracy", "loss", "rank", "formula", "free", "dead", "spectral", "representations", "llc", "r_hat")
        rows = []
        for cell in dict.fromkeys(items["cell"].tolist()):
            inside = items["cell"] == cell
            means = (round(float(items[name][inside].mean()), 3) for name in names)
            rows.append((str(cell), int(inside.sum()), int(items["valid"][inside].sum()), *means))
        return Table(
            title="Networks by group and width",
            columns=("group/width", "networks", "condition holds", *names),
            rows=tuple(rows),
            caption="Means over seeds. loss: cross-entropy (nats) on products not trained on. condition: "
            "of the formula, that the groups' masked inputs are independent; it is sufficient, not necessary.",
        )

    def _figures(self, items: Items, measures: dict[str, Measure]) -> list[Any]:
        groups = [str(cell).split("/")[0] for cell in items["cell"]]
        figures: list[Any] = [
            Chart.scatter(
                items[name],
                items["loss"],
                x=text,
                y="test loss (nats)",
                groups=groups,
                title=f"Test loss against {title}",
            )
            for name, text, title in (
                ("rank", "rank of the parameter Jacobian", "effective parameters"),
                ("llc", "learning coefficient", "the learning coefficient"),
            )
        ]
        shown = {name: m for name, m in measures.items() if name.startswith("rho.") and m.interval is not None}
        if shown:
            ends = [m.interval for m in shown.values() if m.interval is not None]
            figures.insert(
                0,
                Chart.points_with_intervals(
                    [name.removeprefix("rho.") for name in shown],
                    [m.value for m in shown.values()],
                    [end.low for end in ends],
                    [end.high for end in ends],
                    title="Rank correlation with test loss, within group and width",
                    unit="Spearman",
                    threshold=0.0,
                ),
            )
        return figures


def _around_gap(rank: Rank, most: int = 30) -> list[list[float]]:
    """At most ``most`` singular values to each side of the gap: place after the last that counts, and share of the
    largest (at least 1e-20, so that exact zeros can be drawn)."""
    values = (rank.spectrum / rank.spectrum[0].clamp(min=1e-300)).clamp(min=1e-20).tolist()
    first, end = max(0, rank.rank - most), min(len(values), rank.rank + most)
    return [[place - rank.rank + 1, values[place]] for place in range(first, end)]


def within_cells(a: Any, b: Any, cells: Any) -> float | None:
    """The correlation of ranks taken within cells and centred there; None where one of them does not vary."""
    left, right = np.zeros(len(a)), np.zeros(len(a))
    for cell in np.unique(cells):
        inside = cells == cell
        for values, into in ((a, left), (b, right)):
            ranks = _ranks(values[inside])
            into[inside] = (ranks - ranks.mean()) / len(ranks)
    scale = float(np.sqrt(np.square(left).sum() * np.square(right).sum()))
    return float((left * right).sum() / scale) if scale > 0 else None


def _ranks(values: Any) -> Any:
    """Ranks, those of equal values averaged."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return (ends - (counts - 1) / 2)[inverse]
