"""The Python in the README and on the pages of the documentation runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("toulmin", "paths", "circuits", "dictionaries", "basis", "routing")


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}.md" for name in PAGES)])
def test_the_code_on_the_page_runs(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    indented = re.findall(r"(?m)(?:^    .*\n|^\n)+", text)
    plain = ["\n".join(line[4:] for line in block.splitlines()) for block in indented]
    plain += re.findall(r"(?ms)^```python\n(.*?)^```", text)
    code = [text for text in plain if "from toulmin." in text and "$" not in text]
    assert code
    exec(compile("\n".join(code), page, "exec"), {})
