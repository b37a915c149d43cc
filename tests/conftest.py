"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference outputs and data beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("TOULMIN_SHARED", ROOT.parent / "shared"))
    if not (folder / "golden").is_dir():
        if os.environ.get("TOULMIN_REQUIRE_SHARED") == "1":
            pytest.fail(f"shared data are required and {folder} has none")
        pytest.skip("no shared data beside the checkout")
    return folder


_CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for the session (a playwright Browser); skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = os.environ.get("TOULMIN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(_CHROMIUM_FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open HTML as a page; at the end the test fails if any page wrote to the console, raised, or fetched anything."""
    opened: list[Any] = []
    complaints: list[str] = []

    def listen(page: Any) -> None:
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: fetched(request.url))

    def fetched(url: str) -> None:
        if not url.startswith(("file:", "data:")):
            complaints.append(f"fetched {url}")

    def open_html(html: str, *, width: int = 1280, height: int = 900, scheme: str = "light", anchor: str = "") -> Any:
        file = tmp_path / f"page{len(opened)}.html"
        file.write_text(html, encoding="utf-8")
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        listen(page)
        opened.append(page)
        page.goto(file.as_uri() + anchor)
        return page

    yield open_html
    for page in opened:
        page.close()
    assert not complaints
