"""Templates of cases: the structured rationale of Balesni et al. (2024) and its kin, node by node, to be filled.

A template is a GSN pattern (:mod:`toulmin.case.file.pattern`), with parameters, multiplicities, options and choices to
be instantiated. It is a list of fragments, TOML files beside this one. Fragments share nodes by id: elicitation and
sandbagging are one subtree under every argument from evaluations, so that a joint case shows it as the hinge it is.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from toulmin.case.file.casefile import read_case
from toulmin.case.file.pattern import instantiate, open_marks
from toulmin.case.file.readiness import open_parameters
from toulmin.faults import Fault, FaultError

REVIEW_AFTER = dt.timedelta(days=180)

#: name -> (title, fragments)
TEMPLATES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "scheming": (
        "No unacceptable outcome through scheming",
        ("scheming", "scheming-inability", "harm-inability", "harm-control", "elicitation", "alignment-support"),
    ),
    "scheming-inability": ("The system cannot scheme", ("scheming-inability", "elicitation")),
    "harm-inability": ("The system cannot do harm by scheming", ("harm-inability", "elicitation")),
    "harm-control": ("Controls prevent harm by scheming", ("harm-control", "elicitation")),
    "alignment-support": ("Alignment, as support", ("alignment-support",)),
    "elicitation": ("The evaluations show what the system can do", ("elicitation",)),
    "capability-inability": ("The system lacks a dangerous capability", ("capability-inability", "elicitation")),
    "control-case": ("A control evaluation bounds the risk", ("control-case",)),
}


def parameters_of(name: str) -> list[str]:
    """The parameters of a template: the words in braces of its text, in order.

    :raises FaultError: no template of that name.
    """
    return open_parameters(_pattern(name))


def template_text(
    name: str, *, owner: str, today: dt.date | None = None, values: Mapping[str, str] | None = None
) -> str:
    """The ``case.toml`` of a template; every assumption is owned by ``owner`` and due for review in 180 days.

    ``values`` instantiates it: parameters (:func:`parameters_of`), numbers of copies and choices. What is left open
    keeps the case from release.

    :raises FaultError: no template of that name, no such parameter, or a number or choice that it does not allow.
    """
    review = (today or dt.datetime.now(dt.UTC).date()) + REVIEW_AFTER
    text = _pattern(name).replace('"{{ owner }}"', json.dumps(owner, ensure_ascii=False))
    text = text.replace("{{ review }}", review.isoformat())
    values = values or {}
    marks = open_marks(text)
    text, used = instantiate(text, values)
    known = open_parameters(text)
    offered = [*known, *(f"{mark} ({what})" for mark, what in marks.items())]
    hint = f"there are: {', '.join(offered)}"
    message = "the template has no such parameter"
    rest = [key for key in values if key not in used]
    unknown = [Fault("case.unknown_parameter", message, name=key, hint=hint) for key in rest if key not in known]
    if unknown:
        raise FaultError(unknown)
    for key in rest:
        text = text.replace(f"{{{key}}}", json.dumps(values[key], ensure_ascii=False)[1:-1])
    return text


def _pattern(name: str) -> str:
    """The text of a template, or of a case file that is a pattern, before anything is filled in."""
    if name.endswith(".toml"):
        return _own_pattern(Path(name))
    if name not in TEMPLATES:
        near = difflib.get_close_matches(name, TEMPLATES, n=2) or list(TEMPLATES)
        hint = "there are: " + ", ".join(near)
        raise FaultError(Fault("case.unknown_template", "no such template", name=name, hint=hint))
    title, fragments = TEMPLATES[name]
    root = {"scheming": "G"}.get(name)
    head = [
        "[case]",
        f'title = "{title}"',
        'deployment = "{deployment}"',
        f'template = "{name}"',
        *([f'root = "{root}"'] if root else []),
        'author = "{{ owner }}"',
        'approver = "{approver}"',
        'assessor = "{assessor}"',
        "",
        "[case.risk]",
        'text = "{risk_threshold}"',
        'set_by = "{risk_owner}"',
        "",
    ]
    texts = [(files(__name__) / f"{fragment}.toml").read_text(encoding="utf-8") for fragment in fragments]
    return "\n".join([*head, *texts])


def _own_pattern(path: Path) -> str:
    """The text of a pattern that somebody wrote as a case file of their own."""
    case = read_case(path)
    if case.acceptances:
        line = case.line_at("acceptance", 0)
        raise FaultError(Fault("pattern.decisions", "a pattern brings no decisions with it", str(path), line))
    return case.located.text


def write_template(
    name: str, folder: Path, *, owner: str, today: dt.date | None = None, values: Mapping[str, str] | None = None
) -> Path:
    """Write ``case.toml`` of a template into ``folder``, which is made; never over an existing one.

    :raises FaultError: no such template, or there is a case already.
    """
    text = template_text(name, owner=owner, today=today, values=values)
    path = folder / "case.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FaultError(Fault("case.exists", "there is a case already; it was left as it is", str(path))) from None
    except OSError as error:
        raise FaultError(Fault("file.unwritable", error.strerror or str(error), str(path))) from None
    return path
