"""The report: figures, evidence and cases as self-contained HTML pages.

One renderer for each kind of figure, and pages that fetch nothing: styles, data and our own small scripts are inside.
"""

from toulmin.report.cases import render_case
from toulmin.report.drawings import render_diagram
from toulmin.report.figures import render_figure
from toulmin.report.pages import Fragment
from toulmin.report.records import render_evidence
from toulmin.report.slide import render_slide

__all__ = ["Fragment", "render_case", "render_diagram", "render_evidence", "render_figure", "render_slide"]
