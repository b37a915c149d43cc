"""Safety cases: the argument from evidence to claim, and what it is worth today.

After Balesni et al. 2024, "Towards evaluations-based safety cases for AI scheming", in the elements of the GSN
Community Standard v3. No tensors here.
"""

from toulmin.case.casefile import Case, case_schema, load_case, read_case
from toulmin.case.checking import Checked, check, check_case
from toulmin.case.criterion import CriterionError, compare_criteria, parse_criterion
from toulmin.case.diagnostics import DIAGNOSTICS, Diagnostic, severity
from toulmin.case.difference import Change, compare_cases
from toulmin.case.elements import (
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
    Prior,
    Strategy,
)
from toulmin.case.explaining import explain
from toulmin.case.health import Freshness, Health, Label, Outcome
from toulmin.case.probability import conservative_bayes
from toulmin.case.running import RunReport, accept_case, reproduce_leaves, run_case, with_faults
from toulmin.case.sensitivity import Bar, Hinge, LeafEffect, Sensitivity
from toulmin.case.tomlwriter import write_case
from toulmin.case.verdict import Binding, Comparison, Edge, InputState, NodeVerdict, Probability, Resting, Verdict

__all__ = [
    "DIAGNOSTICS",
    "Acceptance",
    "Assumption",
    "Bar",
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
    "Diagnostic",
    "Edge",
    "Element",
    "EvidenceNode",
    "Freshness",
    "Goal",
    "Header",
    "Health",
    "Hinge",
    "InputState",
    "Justification",
    "Label",
    "LeafEffect",
    "Module",
    "NodeVerdict",
    "Outcome",
    "Prior",
    "Probability",
    "Resting",
    "RunReport",
    "Sensitivity",
    "Strategy",
    "Verdict",
    "accept_case",
    "case_schema",
    "check",
    "check_case",
    "compare_cases",
    "compare_criteria",
    "conservative_bayes",
    "explain",
    "load_case",
    "parse_criterion",
    "read_case",
    "reproduce_leaves",
    "run_case",
    "severity",
    "with_faults",
    "write_case",
]
