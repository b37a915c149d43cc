"""The studies ``external.junit`` (test reports) and ``external.json`` (units with a value)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from pydantic import FiniteFloat, model_validator

from toulmin.evidence import Measure, content_of
from toulmin.external.examples import example_presets
from toulmin.external.numbers import is_finite_number
from toulmin.external.outside import SHARE, OutsideStudy, declared_faults
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.faults.xml import local_name, read_xml
from toulmin.studies import Items, MeasureSpec, Run, Summary


class JUnitReport(OutsideStudy):
    """The share of test cases of a JUnit XML report that passed; a skipped one failed, unless it is declared."""

    kind: ClassVar = "external.junit"
    version: ClassVar = 2
    role: ClassVar = "report"
    measures: ClassVar = {
        "passed": MeasureSpec("1", "higher", "share of test cases that passed", *SHARE),
        "failures": MeasureSpec(
            "tests", "lower", "test cases that failed, were in error, or were skipped undeclared", 0.0
        ),
    }
    presets: ClassVar = example_presets("report", "junit", "xml")

    report: str  #: reference of the XML file
    declared_skipped: tuple[str, ...] = ()  #: test cases, CLASS::NAME, skipped on purpose; they do not count

    def source(self) -> str:
        """The report."""
        return self.report

    def collect(self, run: Run) -> Items:
        """One row a test case; several of one name are one observation."""
        path = self.path()
        root = read_xml(path)
        of, faults = self.identify()
        rows: dict[str, float] = {}
        names: list[str] = []
        repeated: Counter[str] = Counter()
        skipped: set[str] = set()
        ran: set[str] = set()
        failures = 0
        for case in root.iter():
            if local_name(case.tag) != "testcase":
                continue
            name = f"{case.get('classname', '')}::{case.get('name', '')}"
            outcome = {local_name(child.tag) for child in case}
            failed = bool(outcome & {"failure", "error"})
            failures += failed
            (skipped if "skipped" in outcome and not failed else ran).add(name)
            if name in self.declared_skipped:
                continue
            names.append(name)
            rows[_distinct(name, repeated, rows)] = float(not failed and "skipped" not in outcome)
        if not skipped | ran:
            faults.append(Fault("junit.empty", "no test cases", str(path)))
        faults += declared_faults("junit.declared", self.declared_skipped, skipped | ran, ran, str(path))
        if not rows and not faults:
            faults.append(Fault("junit.empty", "every test case is declared skipped", str(path)))
        if faults:
            raise FaultError(faults, ExitCode.EVIDENCE)
        self._check_header(root.attrib, failures, str(path), local_name(root.tag))
        notes = [f"declared skipped, and not counted: {', '.join(self.declared_skipped)}"]
        return Items(
            list(rows),
            {"passed": np.array(list(rows.values()))},
            contents=[content_of(name) for name in names],
            metadata={"subject": of, "data_notes": notes if self.declared_skipped else []},
        )

    def _check_header(self, header: dict[str, str], failures: int, file: str, tag: str) -> None:
        try:
            said = int(header["failures"]) + int(header.get("errors", "0"))
        except (KeyError, ValueError):
            return
        if tag in ("testsuites", "testsuite") and said != failures:
            message = f"the header counts {said} failures, its test cases {failures}"
            raise FaultError(Fault("junit.header", message, file), ExitCode.EVIDENCE)

    def summarise(self, items: Items) -> Summary:
        """The share with its exact interval, and the count."""
        failures = len(items.units) - round(float(items["passed"].sum()))
        count = Measure(
            value=failures, unit="tests", better="lower", n=items.n, n_of="test cases", no_interval="a count"
        )
        share = self.measure("passed", items["passed"].astype(float), items, n_of="test cases")
        return Summary({"passed": share, "failures": count})


def _distinct(name: str, repeated: Counter[str], taken: dict[str, float]) -> str:
    """The name, made different from those that are taken."""
    repeated[name] += 1
    if repeated[name] > 1:
        name += f" ({repeated[name]})"
    while name in taken:  # a name that itself ends so
        name += "+"
    return name


class JsonUnits(OutsideStudy):
    """The mean of a value over distinct units: JSON, ``{"units": [{"id", "value", "cluster"?, "input"?}]}``."""

    kind: ClassVar = "external.json"
    version: ClassVar = 2
    role: ClassVar = "report"
    measures: ClassVar = {"value": MeasureSpec("", "neither", "mean over units, clusters resampled together", *SHARE)}
    presets: ClassVar = example_presets("report", "units", "json")

    report: str  #: reference of the JSON file
    unit: str = "1"
    better: Literal["higher", "lower", "neither"] = "neither"
    n_of: str = "units"
    value_range: tuple[FiniteFloat, FiniteFloat] = SHARE  #: the lowest and the highest value there can be

    @model_validator(mode="after")
    def _range_upright(self) -> Self:
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError("value_range must go from the lowest to the highest value")
        return self

    def source(self) -> str:
        """The file."""
        return self.report

    def measure_specs(self) -> dict[str, MeasureSpec]:
        """The value, in its range."""
        spec = self.measures["value"]
        return {"value": MeasureSpec(self.unit, self.better, spec.estimator, *self.value_range)}

    def collect(self, run: Run) -> Items:
        """One row a unit."""
        path = self.path()
        try:
            document: object = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise FaultError(Fault("json.malformed", str(error), str(path)), ExitCode.EVIDENCE) from None
        units: object = cast("dict[str, Any]", document).get("units") if isinstance(document, dict) else None
        if not isinstance(units, list) or not units:
            raise FaultError(Fault("json.units", 'needs a list "units"', str(path)), ExitCode.EVIDENCE)
        of, faults = self.identify()
        ids, values, clusters, contents = list[str](), list[float](), list[str](), list[str]()
        for index, entry in enumerate(cast("list[Any]", units)):
            row: dict[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
            value: object = row.get("value")
            if not isinstance(row.get("id"), str) or not is_finite_number(value):
                infinite = isinstance(value, float) and isinstance(row.get("id"), str)
                code = "json.not_finite" if infinite else "json.unit"
                message = f"the value is {value}" if infinite else "needs id (text) and value (a finite number)"
                faults.append(Fault(code, message, str(path), name=f"units[{index}]"))
                continue
            ids.append(row["id"])
            values.append(float(value))
            clusters.append(str(row.get("cluster", row["id"])))
            contents.append(content_of(row["input"] if "input" in row else ["id", row["id"]]))
        faults = faults or self._outside_range(ids, values, str(path))
        if faults:
            infinite = all(fault.code == "json.not_finite" for fault in faults)
            raise FaultError(faults, ExitCode.NUMERICAL if infinite else ExitCode.EVIDENCE)
        metadata = {"subject": of}
        return Items(ids, {"value": np.array(values)}, clusters=clusters, contents=contents, metadata=metadata)

    def _outside_range(self, ids: list[str], values: list[float], file: str) -> list[Fault]:
        low, high = self.value_range
        hint = "value_range = [lowest, highest] says what a value can be"
        faults = [
            Fault("json.range", f"{value:g} is not from {low:g} to {high:g}", file, name=name, hint=hint)
            for name, value in zip(ids, values, strict=True)
            if not low <= value <= high
        ]
        if not faults and self.value_range != SHARE and set(values) <= {0.0, 1.0}:
            message = "all values are 0 or 1, so that their range is 0 to 1"
            faults.append(Fault("json.range", message, file, name="value_range"))
        return faults

    def summarise(self, items: Items) -> Summary:
        """The mean with its interval over clusters."""
        more: dict[str, Any] = {"unit": self.unit, "better": self.better, "n_of": self.n_of}
        return Summary({"value": self.measure("value", items["value"], items, **more)})
