"""Safety cases: the argument from evidence to claim, and what it is worth today.

After Balesni et al. 2024, "Towards evaluations-based safety cases for AI scheming", in the elements of the GSN
Community Standard v3. No tensors here.
"""

from toulmin.case.argument.health import Freshness, Health, Label, Outcome
from toulmin.case.argument.probability import conservative_bayes
from toulmin.case.argument.sensitivity import Hinge, LeafEffect, Sensitivity, TornadoBar
from toulmin.case.argument.verdict import (
    ArgumentEdge,
    Binding,
    Comparison,
    Dependencies,
    InputState,
    NodeVerdict,
    Probability,
    Reason,
    ReasonKind,
    Verdict,
    json_data,
)
from toulmin.case.checking import Checked, check, check_case
from toulmin.case.difference import Change, compare_cases
from toulmin.case.evidence.criterion import CriterionError, compare_criteria, measures_of, parse_criterion
from toulmin.case.evidence.resolve import Resolution
from toulmin.case.explaining import explain
from toulmin.case.file.casefile import Case, case_schema, load_case, read_case
from toulmin.case.file.diagnostics import DIAGNOSTICS, Diagnostic, severity
from toulmin.case.file.elements import (
    Acceptance,
    Assumption,
    CaseFile,
    Context,
    Declared,
    Defeater,
    Element,
    EvidenceNode,
    Goal,
    Header,
    Justification,
    Module,
    OpenProblem,
    Prior,
    Strategy,
)
from toulmin.case.file.lock import HistoryEntry, states_of
from toulmin.case.file.readiness import open_parameters
from toulmin.case.file.tomlwriter import write_case
from toulmin.case.running import Ran, RunReport, Work, accept_case, reproduce_leaves, run_case, with_faults

__all__ = [
    "DIAGNOSTICS",
    "Acceptance",
    "ArgumentEdge",
    "Assumption",
    "Binding",
    "Case",
    "CaseFile",
    "Change",
    "Checked",
    "Comparison",
    "Context",
    "CriterionError",
    "Declared",
    "Defeater",
    "Dependencies",
    "Diagnostic",
    "Element",
    "EvidenceNode",
    "Freshness",
    "Goal",
    "Header",
    "Health",
    "Hinge",
    "HistoryEntry",
    "InputState",
    "Justification",
    "Label",
    "LeafEffect",
    "Module",
    "NodeVerdict",
    "OpenProblem",
    "Outcome",
    "Prior",
    "Probability",
    "Ran",
    "Reason",
    "ReasonKind",
    "Resolution",
    "RunReport",
    "Sensitivity",
    "Strategy",
    "TornadoBar",
    "Verdict",
    "Work",
    "accept_case",
    "case_schema",
    "check",
    "check_case",
    "compare_cases",
    "compare_criteria",
    "conservative_bayes",
    "explain",
    "json_data",
    "load_case",
    "measures_of",
    "open_parameters",
    "parse_criterion",
    "read_case",
    "reproduce_leaves",
    "run_case",
    "severity",
    "states_of",
    "with_faults",
    "write_case",
]
