"""Figures in Chromium: the replay of games, circuits, heatmaps, features, tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toulmin.evidence import Board, FeatureIndex, GraphFigure, Heatmap
from toulmin.evidence.figures import Example, Feature, FigureEdge, Game, Move, Node, Ownership
from toulmin.report import render_figure

pytestmark = pytest.mark.browser


def play(*points: str) -> tuple[Move, ...]:
    """Moves from "b11" (colour, x, y) or "b" for a pass."""
    return tuple(
        Move(colour=p[0], x=int(p[1]), y=int(p[2])) if len(p) > 1 else Move(colour=p[0])  # type: ignore[arg-type]
        for p in points
    )


def board() -> Board:
    """Black captures a corner stone and then a chain of two; White passes; a second game with a setup and suicide."""
    moves = play("b10", "w00", "b01", "w22", "b12", "w23", "b32", "w44", "b33", "w43", "b13", "w34", "b24", "w")
    first = Game(
        name="captures",
        black="Black player",
        white="White player",
        komi=6.5,
        rules="Tromp-Taylor",
        result="B+3.5",
        moves=moves,
        score_area=3.5,
        score_pass_alive=-2.5,
        win_estimates={"victim": tuple(np.linspace(0.2, 0.9, len(moves) + 1)), "adversary": (None,) * (len(moves) + 1)},
        ownership=(Ownership(move=len(moves), values=tuple(np.linspace(-1, 1, 25))),),
    )
    second = first.model_copy(
        update={
            "name": "a suicide",
            "setup": play("w01", "w10"),
            "moves": play("b00"),
            "suicide": True,
            "win_estimates": {},
            "ownership": (),
            "result": "W+9",
        }
    )
    return Board(title="Two games", size=5, games=(first, second))


def stones(page: Any) -> list[int]:
    return [page.locator(f".go-board .stone.{colour}").count() for colour in "bw"]


def test_captures_are_played(open_page) -> None:
    page = open_page(render_figure(board()))
    counts = []
    page.locator(".go").focus()
    page.keyboard.press("Home")
    for _ in range(14):
        counts.append(stones(page))
        page.keyboard.press("ArrowRight")
    counts.append(stones(page))
    assert counts == [
        [0, 0], [1, 0], [1, 1],
        [2, 0],  # the corner stone is taken
        [2, 1], [3, 1], [3, 2], [4, 2], [4, 3], [5, 3], [5, 4], [6, 4], [6, 5], [7, 5], [7, 5],
    ]  # fmt: skip
    assert page.locator(".go-said").inner_text() == "14. White passes · Black 90.0%"


def test_estimates_made_before_a_players_own_moves_only_are_drawn_and_read(open_page) -> None:
    """In a match each player estimates before its own moves: values and gaps alternate (issue 17, item 10)."""
    count = len(board().games[0].moves) + 1
    mine = tuple(0.25 if at % 2 == 0 else None for at in range(count))
    theirs = tuple(0.75 if at % 2 else None for at in range(count))
    game = board().games[0].model_copy(update={"win_estimates": {"a": mine, "b": theirs}, "ownership": ()})
    page = open_page(render_figure(Board(title="t", size=5, games=(game,))))
    for name, points in (("l0", (count + 1) // 2), ("l1", count // 2)):
        drawn = page.locator(f".go-curve path.{name}").get_attribute("d")
        assert (drawn.count("M"), drawn.count("L")) == (1, points - 1)
    said = []
    page.locator(".go").focus()
    for _ in range(2):
        said.append(page.locator(".go-said").inner_text().split(" · ")[-1])
        page.keyboard.press("ArrowLeft")
    assert set(said) == {"Black 25.0%", "Black 75.0%"}


def test_a_chain_is_captured_together(open_page) -> None:
    moves = play("b10", "w11", "b01", "w21", "b12", "w", "b22", "w", "b31", "w", "b20")
    game = board().games[0].model_copy(update={"moves": moves, "win_estimates": {}, "ownership": ()})
    page = open_page(render_figure(Board(title="t", size=5, games=(game,))))
    assert stones(page) == [6, 0]
    page.locator(".go-jump").fill("10")
    page.locator(".go-jump").press("Enter")
    assert stones(page) == [5, 2]


def test_jumping_keys_overlay_and_games(open_page) -> None:
    page = open_page(render_figure(board()))
    page.locator(".go").focus()
    page.keyboard.press("ArrowUp")
    assert page.locator(".go-jump").input_value() == "4"
    page.locator(".go-slider").fill("7")
    assert page.locator(".go-said").inner_text().startswith("7. Black D3")
    assert page.locator(".go-board .owners rect").count() == 0
    page.locator(".go").focus()
    page.keyboard.press("o")
    assert page.locator(".go-board .owners rect").count() > 15
    page.keyboard.press("m")
    assert page.locator(".go-board .number").count() == sum(stones(page))
    box = page.locator(".go-curve svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.99, box["y"] + box["height"] / 2)
    assert page.locator(".go-jump").input_value() == "14"
    facts = page.locator(".go-facts:visible").inner_text()
    assert "Black by 3.5" in facts
    assert "White by 2.5" in facts
    page.locator(".go").focus()
    page.keyboard.press("n")
    assert page.locator(".go-name").inner_text() == "a suicide"
    assert stones(page) == [0, 2]  # the only stone took its own last liberty
    assert page.locator("[data-do='ownership']").is_disabled()
    page.get_by_role("button", name="captures").click()
    assert page.locator(".go-name").inner_text() == "captures"


def test_playing_stops_at_the_end(open_page) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    page = open_page(render_figure(board()))
    page.locator(".go-jump").fill("12")
    page.locator(".go-jump").press("Enter")
    page.get_by_role("button", name="Play").click()
    sync_api.expect(page.locator(".go-jump")).to_have_value("14")
    sync_api.expect(page.locator("[data-do='play']")).to_have_attribute("aria-pressed", "false")


def test_tables_sort_by_number_and_by_name(open_page) -> None:
    games = [
        board().games[0].model_copy(update={"name": f"g{i}", "komi": komi}) for i, komi in enumerate((10.0, 9.0, -1.5))
    ]
    page = open_page(render_figure(Board(title="t", size=5, games=tuple(games))))
    page.locator(".go-games th button", has_text="komi").click()

    def names() -> list[str]:
        return page.locator(".go-games button.link").all_inner_texts()

    assert names() == ["g2", "g1", "g0"]
    page.locator(".go-games th button", has_text="komi").click()
    assert names() == ["g0", "g1", "g2"]
    assert page.locator("th[aria-sort='descending']").count() == 1


def test_a_circuit_shows_what_a_node_reads(open_page) -> None:
    graph = GraphFigure(
        title="t",
        nodes=tuple(
            Node(id=name, layer=layer, facts={"exact": 0.25}) for layer, name in enumerate(("embed", "L0.H1", "logits"))
        ),
        edges=(
            FigureEdge(source="embed", target="L0.H1", weight=2.0),
            FigureEdge(source="L0.H1", target="logits", weight=-1.0),
            FigureEdge(source="embed", target="logits", weight=0.1),
        ),
    )
    page = open_page(render_figure(graph))
    page.locator(".n[data-id='L0.H1']").hover()
    assert page.locator(".e.on").count() == 2
    assert page.locator(".tip").inner_text() == "L0.H1\nexact: 0.2500"
    page.locator(".cut").fill("60")
    shown = page.locator(".e").evaluate_all(
        "(es) => es.filter((e) => e.style.display !== 'none').map((e) => e.dataset.t)"
    )
    assert shown == ["L0.H1"]
    page.locator("summary").click()
    assert page.locator("tbody tr td").first.inner_text() == "embed"
    boxes = page.locator(".n").evaluate_all("(ns) => ns.map((n) => n.getBoundingClientRect().bottom)")
    assert boxes[0] > boxes[1] > boxes[2]


def test_features_are_found_by_token(open_page) -> None:
    features = [Feature(id=f"f{i}", examples=(Example(tokens=(f"token{i}",), activations=(1.0,)),)) for i in range(5)]
    page = open_page(render_figure(FeatureIndex(title="t", features=tuple(features))))
    page.locator(".feature-search").fill("TOKEN3")
    assert page.locator(".feature:visible").count() == 1
    assert page.locator(".features output").inner_text() == "1 features"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_heatmap_numbers_can_be_read_on_their_colour(open_page, scheme: str) -> None:
    heatmap = Heatmap(title="t", x_labels=("a", "b", "c"), y_labels=("r",), values=((-1.0, 0.0, 1.0),), centre=0.0)
    page = open_page(render_figure(heatmap), scheme=scheme)
    colours = page.locator(".heatmap td.low, .heatmap td.high").evaluate_all("""(cells) => {
      const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
      const read = (c) => { context.fillStyle = c; context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3); };
      return cells.map((cell) => [read(getComputedStyle(cell).color), read(getComputedStyle(cell).backgroundColor)]);
    }""")

    def luminance(colour: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    assert len(colours) == 3
    for pair in colours:
        light, dark = sorted(map(luminance, pair), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
