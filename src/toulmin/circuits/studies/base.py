"""What the studies of circuits share: the subject, the prompts, and how the circuit is found. No torch at the top."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation
from toulmin.evidence import sha256_of_json
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Doubt, Input, Items, Run
from toulmin.tasks import Pair, PromptStudy

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

Array = NDArray[np.float64]
Method = Literal[
    "acdc",
    "eap",
    "eap_ig",
    "eap_ig_activations",
    "mask_ig",
    "relp",
    "edge_probing",
    "circuit_probing",
    "exact",
    "random",
    "activation_magnitude",
]


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
    batch: int = Field(default=32, ge=1)

    circuit: str | None = None  #: reference of a circuit: file:PATH, evidence:ID/circuit.json
    method: Method = "eap_ig"
    size: int | None = Field(default=None, ge=1)  #: edges of the circuit; default a twentieth of all
    tau: float = Field(default=0.01, gt=0)  #: ACDC's threshold
    metric: str = "logit_diff"  #: that discovery attributes (ACDC and probing minimise KL)
    ablation: Ablation = "resample"  #: that discovery ablates with

    def inputs(self) -> tuple[Input, ...]:
        """The subject, the file of the prompts and that of the circuit if there are any."""
        found = super().inputs()
        return found if self.circuit is None else (*found, self.input("circuit", self.circuit))

    def prepare(self, run: Run) -> tuple[CircuitRunner, CircuitRunner]:
        """The runners of the discovery prompts and of the measuring prompts."""
        from toulmin.circuits.runner import CircuitRunner

        prompts = self.load(run)
        first, second = prompts.disjoint_pairs((self.n_discover, self.n), run.seed)
        return CircuitRunner(prompts.model, first, batch=self.batch), CircuitRunner(
            prompts.model, second, batch=self.batch
        )

    def find_circuit(self, runner: CircuitRunner, run: Run) -> tuple[Circuit, EdgeScores | None]:
        """The circuit, read or discovered; a discovery that finished is taken up again from the work folder."""
        if self.circuit is not None:
            return read_circuit(self.resolver.locate(self.circuit).read_text("utf-8"), self.circuit, runner), None
        kept = run.workdir / f"discovered-{sha256_of_json([self.configuration(), run.seed])[:16]}.json"
        if kept.is_file():
            saved = json.loads(kept.read_text("utf-8"))
            circuit = Circuit.from_json(saved["circuit"])
            scores = saved["scores"]
            table = None if scores is None else EdgeScores(circuit.graph, np.array(scores), saved["method"])
            return circuit, table
        from toulmin.circuits.discovery.methods import discover

        circuit, scores = discover(
            runner, self.method, size=self.size, tau=self.tau, metric=self.metric, ablation=self.ablation, seed=run.seed
        )
        listed = None if scores is None else scores.values.tolist()
        label = self.method if scores is None else scores.method
        run.workdir.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_text(json.dumps({"circuit": circuit.to_json(), "scores": listed, "method": label}), "utf-8")
        part.replace(kept)
        return circuit, scores


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
    pairs: Sequence[Pair], columns: dict[str, Array], arrays: dict[str, Array], run: Run, circuit: Circuit
) -> Items:
    """Items with one row a prompt, clustered by unit, and the circuit as an artefact."""
    units = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
    distinct = len(set(units)) == len(units)
    ids = units if distinct else [f"{unit}#{index}" for index, unit in enumerate(units)]
    run.workdir.mkdir(parents=True, exist_ok=True)
    file = run.workdir / "circuit.json"
    file.write_text(json.dumps(circuit.to_json(), indent=1, sort_keys=True), "utf-8")
    return Items(ids, columns, None if distinct else units, arrays, {"circuit.json": file})
