"""What every test may ask for."""

from __future__ import annotations

import json
import os
import shutil
import sys
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


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """SmolLM2-135M as a Subject, from the user's cache; skips where nobody fetched it."""
    from toulmin.faults import FaultError
    from toulmin.subjects import load

    try:
        return load("cached:smollm2-135m")
    except FaultError as missing:
        if os.environ.get("TOULMIN_REQUIRE_SHARED") == "1":
            pytest.fail(f"the real model is required: {missing}")
        pytest.skip("the real model was not fetched: toulmin subjects get smollm2-135m")


@pytest.fixture(scope="session")
def golden_model(shared: Path) -> Callable[[str], tuple[Any, dict[str, Any]]]:
    """Loads a golden model of path patching by its name: the Transformer, in float64, and what was recorded of it."""
    import numpy as np
    import torch

    from toulmin.subjects import Transformer, TransformerConfig

    def load(name: str) -> tuple[Transformer, dict[str, Any]]:
        folder = shared / "golden/paths"
        case = json.loads((folder / f"{name}.json").read_text())
        cfg, weights = case["cfg"], dict(np.load(folder / f"{name}.npz"))
        config = TransformerConfig(
            n_layers=cfg["L"],
            d_model=cfg["d"],
            n_heads=cfg["H"],
            d_head=cfg["dh"],
            d_vocab=cfg["V"],
            n_ctx=cfg["T"],
            d_mlp=cfg["m"],
            positions=cfg["pos"],
            norm="layer" if cfg["ln"] else "none",
            norm_eps=cfg["eps"],
        )
        model = Transformer(config).double()
        places = {"ln1_w": "norm1.w", "ln1_b": "norm1.b", "ln2_w": "norm2.w", "ln2_b": "norm2.b"}
        state: dict[str, torch.Tensor] = {}
        for key, array in weights.items():
            value = torch.from_numpy(array)
            if key.startswith("ln2") and not cfg["m"]:
                continue
            if key in ("W_E", "W_pos", "b_U"):
                state[key] = value
            elif key == "W_U":
                state["_W_U"] = value
            elif key.startswith("lnf"):
                state[f"final_norm.{key[-1]}"] = value
            else:
                part = places.get(key) or ("mlp." if key.endswith(("in", "out")) else "attn.") + key
                state |= {f"layers.{layer}.{part}": value[layer] for layer in range(cfg["L"])}
        model.load_state_dict(state)
        return model, case

    return load


@pytest.fixture(scope="session")
def coins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an installed package with the study ``coins.rate``, on the path for the session."""
    from coin_cases import install

    site = tmp_path_factory.mktemp("site")
    install(site)
    sys.path.insert(0, str(site))
    yield site
    sys.path.remove(str(site))


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
