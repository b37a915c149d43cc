"""What the studies of circuits share: the prompts, how the circuit is found, how it is stored. No torch at the top."""

from __future__ import annotations

import json
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.eap_ig import EapIg
from toulmin.circuits.discovery.method import Discovery
from toulmin.circuits.discovery.methods import MethodSetting
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.evidence import content_of, sha256_of_json
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching import Graph
from toulmin.studies import Doubt, Input, Items, Run
from toulmin.tasks import PromptStudy, clusters_of

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner
    from toulmin.tasks import Pair

Array = NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """The circuit of a study, with the runners of the prompts it was found on and of those it is measured on."""

    discovering: CircuitRunner
    measuring: CircuitRunner
    found: Discovery
    about: Mapping[str, Any]  #: of the prompts measured on, as the items say it


class CircuitStudy(PromptStudy):
    """Fields of every study of circuits. The circuit is read from ``circuit``, or discovered by ``method``.

    Discovery sees ``n_discover`` prompts, everything is measured on ``n`` others (of a file of pairs: the first
    ``n_discover``, and the ``n`` after them); no unit is in both. A run of seed s generates them with 2s and 2s + 1, so
    that no two runs share prompts.
    """

    doubts: ClassVar = (
        Doubt(
            "uniqueness",
            "Faithfulness of a circuit does not show uniqueness: other circuits may be as faithful.",
            "random and rival circuits of equal size that are not, or a claim that does not need uniqueness",
        ),
        Doubt(
            "methodology",
            "Faithfulness moves with ablation value, granularity, direction, metric and aggregation.",
            "a card over the whole grid on which the verdict does not flip",
        ),
    )

    # always a number here, as prompts of a file are divided too; fields of a frozen model may be narrowed
    n: int = Field(default=100, ge=3)  #: prompts to measure on  # pyright: ignore[reportIncompatibleVariableOverride]
    n_discover: int = Field(default=32, ge=1)  #: prompts to discover with
    batch: int = Field(default=32, ge=1)  #: prompts in one forward pass

    circuit: str | None = None  #: reference of a circuit: file:PATH, evidence:ID/circuit.json
    method: MethodSetting = EapIg()  #: of discovery: a name, or a table of a name and settings

    def inputs(self) -> tuple[Input, ...]:
        """The subject, the file of the prompts and that of the circuit if there are any."""
        found = super().inputs()
        return found if self.circuit is None else (*found, self.input("circuit", self.circuit))

    def prepare(self, run: Run) -> Prepared:
        """Load the model once, generate both sets of prompts once, and find the circuit.

        :raises FaultError: the model, the prompts or the circuit cannot be had.
        """
        from toulmin.circuits.runner import CircuitRunner

        prompts = self.load(run)
        sets = prompts.disjoint_pairs((self.n_discover, self.n), run.seed)
        first, second = (CircuitRunner(prompts.model, pairs, batch=self.batch) for pairs in sets)
        finding = 0.0 if self.circuit is not None else self.method.passes(first)
        prompts.announce(run, first.pairs, finding + self.measuring_passes(first, second))
        return Prepared(first, second, self._find(first, run), prompts.about(second.pairs))

    @abstractmethod
    def measuring_passes(self, discovering: CircuitRunner, measuring: CircuitRunner) -> float:
        """About how many forward passes of one prompt it takes to measure the circuit that was found."""

    def _find(self, runner: CircuitRunner, run: Run) -> Discovery:
        """The circuit, read or discovered; a discovery that finished is taken up again from the work folder."""
        if self.circuit is not None:
            text = self.resolver.locate(self.circuit).read_text("utf-8")
            return Discovery(read_circuit(text, self.circuit, runner), None, self.circuit)
        method = self.method.with_seed(run.seed)
        key = [self.configuration(), [(i.role, i.sha256) for i in self.inputs()], run.seed, run.device]
        kept = run.workdir / f"discovered-{sha256_of_json(key)[:16]}.json"
        if kept.is_file():
            return Discovery.from_json(json.loads(kept.read_text("utf-8")))
        with run.progress.task(method.title, method.steps_on(runner)) as advance:
            found = method.discover(runner, advance)
        part = new_folder(run) / kept.name
        part.write_text(json.dumps(found.to_json()), "utf-8")
        part.replace(kept)
        return found


def new_folder(run: Run) -> Path:
    """A folder below the work folder that nobody else has."""
    run.workdir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=run.workdir))


def read_circuit(text: str, name: str, runner: CircuitRunner) -> Circuit:
    """A circuit from JSON in our own format or MIB's.

    :raises FaultError: not JSON, neither format, or a circuit of another model.
    """
    from toulmin.circuits.formats import from_mib

    try:
        data = json.loads(text)
    except ValueError as error:
        raise FaultError(Fault("circuits.format", f"not JSON: {error}", name=name)) from None
    if not isinstance(data, dict):
        raise FaultError(Fault("circuits.format", "a circuit is a JSON object", name=name))
    circuit = from_mib(data)[0] if "cfg" in data else Circuit.from_json(data)
    if circuit.graph != runner.graph:
        raise FaultError(Fault("circuits.graph", "the circuit is of another model", name=name), ExitCode.INVALID)
    return circuit


def items_of(
    pairs: Sequence[Pair],
    columns: Mapping[str, Array],
    arrays: Mapping[str, Array],
    run: Run,
    found: Discovery,
    of_pairs: Mapping[str, Any],
) -> Items:
    """Items with one row a prompt, clustered by unit; the circuit and its scores are among them and an artefact.

    :param of_pairs: what is said of the pairs (:meth:`toulmin.tasks.Prompts.about`).
    """
    units = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
    distinct = len(set(units)) == len(units)
    ids = units if distinct else [f"{unit}#{index}" for index, unit in enumerate(units)]
    stored: dict[str, Array] = {**arrays, "edges": found.circuit.table.astype(np.int64)}
    about: dict[str, Any] = {"graph": found.circuit.graph.to_json(), "method": found.method}
    if found.scores is not None:
        stored["scores"] = found.scores.values
    file = new_folder(run) / "circuit.json"
    file.write_text(json.dumps(found.circuit.to_json(), indent=1, sort_keys=True), "utf-8")
    contents = [content_of(list(pair.clean)) for pair in pairs]
    labels, files = clusters_of(units, pairs) or units, {"circuit.json": file}
    clusters = None if labels == ids else labels
    return Items(ids, columns, clusters, stored, files, {"discovery": about, **of_pairs}, contents)


def discovery_of(items: Items) -> Discovery:
    """The circuit and its scores, as :func:`items_of` stored them.

    :raises FaultError: the items do not say which graph the edges are of.
    """
    about = items.metadata.get("discovery")
    if not isinstance(about, dict) or not isinstance(about.get("graph"), dict):
        raise FaultError(Fault("circuits.items", "the items hold no circuit"), ExitCode.EVIDENCE)
    graph, method = Graph.from_json(about["graph"]), str(about.get("method"))
    scores = EdgeScores(graph, items.arrays["scores"], method) if "scores" in items.arrays else None
    return Discovery(Circuit(graph, items["edges"]), scores, method)
