"""The studies ``external.junit`` (test reports) and ``external.json`` (units with a value)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, ClassVar, Literal, cast

import numpy as np

from toulmin.evidence import Measure, content_of
from toulmin.external.doubts import PROVENANCE
from toulmin.external.numbers import is_finite_number
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.faults.xml import local_name, read_xml
from toulmin.studies import Cost, Input, Items, MeasureSpec, Run, Study, Summary


class JUnitReport(Study):
    """The share of test cases of a JUnit XML report that passed; skipped ones count as failures unless declared."""

    kind: ClassVar = "external.junit"
    version: ClassVar = 1
    measures: ClassVar = {
        "passed": MeasureSpec("1", "higher", "share of test cases that passed", 0.0, 1.0),
        "failures": MeasureSpec(
            "tests", "lower", "test cases that failed, were in error, or were skipped undeclared", 0.0
        ),
    }
    presets: ClassVar = {}
    recorded_elsewhere: ClassVar = True
    doubts: ClassVar = (PROVENANCE,)

    report: str  #: reference of the XML file
    skipped_allowed: bool = False

    def inputs(self) -> tuple[Input, ...]:
        """The report."""
        return (self.input("report", self.report),)

    def seed_changes_data(self) -> bool:
        """No: the data are in the file."""
        return False

    def cost(self) -> Cost:
        """Reading only."""
        return Cost(seconds=0.5)

    def collect(self, run: Run) -> Items:
        """One row a test case."""
        path = self.resolver.locate(self.report)
        root = read_xml(path)
        rows: dict[str, float] = {}
        repeated: Counter[str] = Counter()
        for case in root.iter():
            if local_name(case.tag) != "testcase":
                continue
            name = f"{case.get('classname', '')}::{case.get('name', '')}"
            repeated[name] += 1
            if repeated[name] > 1:
                name += f" ({repeated[name]})"
            while name in rows:  # a name that itself ends so
                name += "+"
            outcome = {local_name(child.tag) for child in case}
            if "skipped" in outcome and self.skipped_allowed:
                continue
            rows[name] = float(not outcome & {"failure", "error", "skipped"})
        if not rows:
            raise FaultError(Fault("junit.empty", "no test cases", str(path)), ExitCode.EVIDENCE)
        self._check_header(root.attrib, rows, str(path), local_name(root.tag))
        return Items(list(rows), {"passed": np.array(list(rows.values()))})

    def _check_header(self, header: dict[str, str], rows: dict[str, float], file: str, tag: str) -> None:
        try:
            said = int(header["failures"]) + int(header.get("errors", "0"))
            skipped = int(header.get("skipped", header.get("disabled", "0")))
        except (KeyError, ValueError):
            return
        failed = sum(value == 0 for value in rows.values()) - (0 if self.skipped_allowed else skipped)
        if tag in ("testsuites", "testsuite") and said != failed:
            message = f"the header counts {said} failures, its test cases {failed}"
            raise FaultError(Fault("junit.header", message, file), ExitCode.EVIDENCE)

    def summarise(self, items: Items) -> Summary:
        """The share with its exact interval, and the count."""
        passed = round(float(items["passed"].sum()))
        common: dict[str, Any] = {"n": items.n, "n_of": "test cases"}
        return Summary(
            {
                "passed": self.measure("passed", items["passed"].astype(float), items, n_of="test cases"),
                "failures": Measure(
                    value=len(items.units) - passed, unit="tests", better="lower", no_interval="a count", **common
                ),
            }
        )


class JsonUnits(Study):
    """The mean of a value over independent units, from a JSON file ``{"units": [{"id", "value", "cluster"?}]}``."""

    kind: ClassVar = "external.json"
    version: ClassVar = 1
    measures: ClassVar = {"value": MeasureSpec("", "neither", "mean over units, clusters resampled together")}
    presets: ClassVar = {}
    recorded_elsewhere: ClassVar = True
    doubts: ClassVar = (PROVENANCE,)

    report: str  #: reference of the JSON file
    unit: str = "1"
    better: Literal["higher", "lower", "neither"] = "neither"
    n_of: str = "units"

    def inputs(self) -> tuple[Input, ...]:
        """The file."""
        return (self.input("report", self.report),)

    def seed_changes_data(self) -> bool:
        """No: the data are in the file."""
        return False

    def cost(self) -> Cost:
        """Reading only."""
        return Cost(seconds=0.5)

    def collect(self, run: Run) -> Items:
        """One row a unit."""
        path = self.resolver.locate(self.report)
        try:
            document: object = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise FaultError(Fault("json.malformed", str(error), str(path)), ExitCode.EVIDENCE) from None
        units: object = cast("dict[str, Any]", document).get("units") if isinstance(document, dict) else None
        if not isinstance(units, list) or not units:
            raise FaultError(Fault("json.units", 'needs a list "units"', str(path)), ExitCode.EVIDENCE)
        faults: list[Fault] = []
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
        if faults:
            infinite = all(fault.code == "json.not_finite" for fault in faults)
            raise FaultError(faults, ExitCode.NUMERICAL if infinite else ExitCode.EVIDENCE)
        return Items(ids, {"value": np.array(values)}, clusters=clusters, contents=contents)

    def summarise(self, items: Items) -> Summary:
        """The mean with its interval over clusters."""
        more = {"unit": self.unit, "better": self.better, "n_of": self.n_of}
        return Summary({"value": self.measure("value", items["value"], items, **more)})
