"""One word for one thing: the glossary's forbidden synonyms appear in no docstring, page or message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
#: forbidden as whole words wherever people read; the glossary's table adds its last column
ALWAYS = ("Faulty", "EVERYTHING", "taps")


def forbidden_words() -> list[str]:
    rows = [line.split("|")[1:-1] for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    words = [
        word.strip()
        for row in rows
        if len(row) == 3 and row[0].strip() not in ("word", "---")
        for word in row[2].split(",")
    ]
    return [word for word in words if word and set(word) != {"-"}]


def pattern() -> re.Pattern[str]:
    forms = [re.escape(word) + ("" if word.endswith("s") else "s?") for word in (*forbidden_words(), *ALWAYS)]
    return re.compile(r"\b(" + "|".join(forms) + r")\b")


def texts() -> Iterator[tuple[str, str]]:
    """What people read: pages, docstrings, and the strings of error messages and help."""
    for page in (*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))):
        if page != GLOSSARY and page.name != "CHANGELOG.md":  # a changelog names what things were called
            yield page.name, page.read_text(encoding="utf-8")
    for path in sorted((ROOT / "src").rglob("*.py")):
        name = str(path.relative_to(ROOT / "src"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield name, node.value


def test_the_glossary_lists_words_and_their_forbidden_synonyms() -> None:
    words = forbidden_words()
    assert {"position cell", "tap", "bench", "room", "far run"} <= set(words)


def test_no_forbidden_synonym_is_read_by_anybody() -> None:
    forbidden = pattern()
    found = [
        (where, match[0], text[max(0, match.start() - 40) : match.end() + 40])
        for where, text in texts()
        for match in forbidden.finditer(text)
    ]
    assert not found, "\n".join(f"{where}: {word!r} in ...{around!r}..." for where, word, around in found)
