"""Evidence that other tools made, as studies: what can be checked is checked, and the rest is said.

``external.inspect`` reads logs of Inspect AI, ``external.control`` scores of a control evaluation, ``external.junit``
test reports, ``external.json`` anything else. Their numbers are always recomputed from the units; a header that says
otherwise is an error.
"""

from toulmin.external.control import ControlEvaluation
from toulmin.external.control_rows import write_control_rows
from toulmin.external.inspect_log import InspectLog, InspectSample, read_inspect_log
from toulmin.external.inspect_study import InspectEvaluation
from toulmin.external.reports import JsonUnits, JUnitReport

__all__ = [
    "ControlEvaluation",
    "InspectEvaluation",
    "InspectLog",
    "InspectSample",
    "JUnitReport",
    "JsonUnits",
    "read_inspect_log",
    "write_control_rows",
]
