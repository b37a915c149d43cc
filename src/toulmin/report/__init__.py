"""The report: figures, evidence and cases as self-contained HTML pages.

One renderer for each kind of figure, and pages that fetch nothing: styles, data and our own small scripts are inside.
"""

from toulmin.report.figures import render_figure

__all__ = ["render_figure"]
