"""``toulmin case`` as a user runs it: what it prints, how it exits, and never a traceback."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from toulmin.case import check_case, write_case
from toulmin.case.file.casefile import read_case
from toulmin.cli.case import app
from toulmin.faults import FaultError

CASE = """\
[case]
title = "Coin"
[[goal]]
id = "G"
text = "Heads"
supported_by = ["E"]
in_context_of = ["A"]
[[evidence]]
id = "E"
text = "Throws"
study = "coins.rate"
configuration = { coin = "file:coin.txt" }
criterion = "rate.low >= 0.9"
[[assumption]]
id = "A"
text = "Not swapped"
owner = "Jane"
justification = "Boxed"
review = 2099-01-01
"""
ACCEPTED = '[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-01-01\n'


@pytest.fixture
def coin(bench):
    bench.write(CASE)
    return bench


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, FaultError):  # the program's entry prints these and exits so
        return int(result.exception.exit_code), result.output + "\n".join(map(str, result.exception.faults))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_from_missing_to_releasable(coin):
    status, output = call("check", coin.folder)
    assert status == 1
    assert "E is unsupported: no evidence yet" in output
    status, output = call("run", coin.folder)
    assert status == 1
    assert "rests on assumption A, which nobody has accepted" in output
    coin.write(CASE + ACCEPTED)
    status, output = call("check", coin.folder, "--hinges")
    assert status == 0
    assert "verdict: releasable (exit 0)" in output
    assert "smallest sets whose failure sinks the root" in output
    assert call("check", coin.folder, "--reproduce", 1)[0] == 0


@pytest.mark.parametrize(
    ("edit", "status"),
    [
        (lambda b: b.write("0.970", "coin.txt"), 3),
        (lambda b: b.replace("rate.low >= 0.9", "rate.low >= 0.99"), 1),
        (lambda b: b.replace('owner = "Jane"\n', ""), 2),
        (lambda b: b.write("x", f".toulmin/records/{b.store.ids()[0]}/stray"), 4),
    ],
)
def test_exit_statuses(coin, edit, status):
    coin.write(CASE + ACCEPTED)
    assert call("run", coin.folder)[0] == 0
    edit(coin)
    found, output = call("check", coin.folder)
    assert found == status, output
    assert f"(exit {status})" in output


def test_json(coin):
    status, output = call("check", coin.folder, "--json", "--hinges")
    said = json.loads(output)
    assert (status, said["exit_code"], said["health"]) == (1, 1, "unsupported")
    assert said["nodes"]["E"]["binding"]["outcome"] == "missing"
    assert said["sensitivity"]["leaves"][0]["id"] == "E"
    assert json.loads(call("explain", coin.folder, "E", "--json")[1])["id"] == "E"
    assert json.loads(call("schema")[1])["title"] == "CaseFile"
    assert "C014" in json.loads(call("diagnostics", "--json")[1])


def test_the_report_draws_every_run_and_every_record(coin):
    call("run", coin.folder)
    coin.write("0.6", "coin.txt")
    call("run", coin.folder)
    assert call("render", coin.folder, "--out", coin.folder / "page.html")[0] == 1
    page = (coin.folder / "page.html").read_text()
    assert page.count("<title>E: ") == 2  # it was supported, then refuted
    assert re.search(r'class="old"><title>[-0-9]{10}: 0\.9\d', page)  # the record of the earlier coin
    assert re.search(r"<g><title>[-0-9]{10}: 0\.\d+ \[[^]]+\], n = 200</title>", page)


def test_explain(coin):
    call("run", coin.folder)
    status, output = call("explain", coin.folder, "E")
    assert status == 0
    assert "E (evidence): supported, current" in output
    assert "rate.low >= 0.9: pass" in output
    assert "if it is refuted, the root G is refuted" in output
    output = call("explain", coin.folder)[1]
    assert "G (goal): conditional" in output
    assert "why:\n  " in output
    assert "why:" not in call("explain", coin.folder, "A")[1]  # nothing to say of it
    status, output = call("explain", coin.folder, "F")
    assert status == 2
    assert "no element of that name" in output


def test_diff_and_accept(coin, tmp_path):
    call("run", coin.folder)
    other = tmp_path / "other.toml"
    other.write_text(CASE.replace("0.9", "0.5"))
    status, output = call("diff", coin.folder, other)
    assert status == 1
    assert "LOOSENED E: threshold: criterion = rate.low >= 0.9 -> criterion = rate.low >= 0.5" in output
    assert call("diff", other, other)[0] == 0
    coin.replace("0.9", "0.5")
    assert "loosened after the result" in call("check", coin.folder)[1]
    status, output = call("accept", coin.folder, "--by", "Jo", "--why", "as agreed")
    assert status == 1  # nobody has accepted the assumption
    assert "loosened" not in output
    assert 'why = "as agreed"' in (coin.folder / "case.lock").read_text()
    assert call("diff", coin.folder, tmp_path / "none.toml")[0] == 2


def test_render_one_slide_as_a_drawing_or_a_picture(coin):
    svg, png = coin.folder / "slide.svg", coin.folder / "slide.PNG"
    status, output = call("render", coin.folder, "--slide", svg)
    assert (status, output.split()) == (1, [str(svg)])  # the status of the check; and no page is written
    assert not (coin.folder / "case.html").exists()
    drawing = ElementTree.parse(svg).getroot()
    assert drawing.attrib["viewBox"] == "0 0 1600 900"
    assert "Not releasable" in svg.read_text()
    assert call("render", coin.folder, "--slide", png)[0] == 1
    picture = png.read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(picture[at : at + 4], "big") for at in (16, 20)] == [1600, 900]
    both = call("render", coin.folder, "--slide", svg, "--out", coin.folder / "page.html")
    assert both[0] == 1
    assert (coin.folder / "page.html").exists()


@pytest.mark.parametrize("name", ["slide.pdf", "slide", "no/such/folder.svg"])
def test_a_slide_that_cannot_be_written_is_a_fault(coin, name: str):
    assert call("render", coin.folder, "--slide", coin.folder / name)[0] == 2


def test_render(coin):
    call("run", coin.folder)
    status, output = call("render", coin.folder)
    assert status == 1
    page = (coin.folder / "case.html").read_text(encoding="utf-8")
    assert output.strip().endswith("case.html")
    assert "Not swapped" in page
    assert call("render", coin.folder, "--out", coin.folder / "no/such/folder.html")[0] == 2


def test_new_export_import(coin, tmp_path):
    status, output = call("new", tmp_path / "fresh", "--template", "scheming", "--owner", "Jane")
    assert status == 0
    status, output = call("check", tmp_path / "fresh")
    assert status == 1
    assert "undeveloped" in output
    assert call("new", tmp_path / "fresh", "-t", "scheming", "--owner", "Jane")[0] == 2
    target = tmp_path / "case.yaml"
    assert call("export", coin.folder, "--format", "gsn2x", "--out", target)[0] == 0
    assert call("import", target, "--out", tmp_path / "back.toml")[0] == 0
    assert read_case(tmp_path / "back.toml").parsed == read_case(coin.folder).parsed
    assert call("import", target, "--out", tmp_path / "back.toml")[0] == 2
    assert call("export", coin.folder, "--format", "nothing")[0] == 2


def test_export_svg(coin):
    coin.replace(
        'text = "Heads"', 'text = "Heads <&> \\u0007 and a long claim that does not fit into one line of a card"'
    )
    assert call("export", coin.folder, "--format", "svg", "--out", coin.folder / "case.svg")[0] == 0
    drawn = ElementTree.parse(coin.folder / "case.svg").getroot()
    titles = [title.text or "" for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0] == "Coin"
    assert {t.split(" ")[0] for t in titles[1:]} >= {"G", "E", "A"}
    assert any("Heads <&>" in t for t in titles)
    boxes = [r.attrib for r in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert len(boxes) == len(titles) - 1


ACCEPT = ["accept", "--by", "J", "--why", "W"]


@pytest.mark.parametrize("arguments", [["check"], ["run"], ["explain"], ["render"], ACCEPT])
def test_nothing_there(arguments, tmp_path):
    name, *rest = arguments
    status, output = call(name, tmp_path / "nowhere", *rest)
    assert status == 2
    assert "C001" in output


def test_written_cases_read_back_equal(coin):
    parsed = read_case(coin.folder).parsed
    coin.write(write_case(parsed), "copy.toml")
    assert read_case(coin.folder / "copy.toml").parsed == parsed


def test_no_heavy_imports():
    code = "import sys, toulmin.cli.case; print([m for m in ('torch', 'numba', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_check_without_evidence_loads_no_numpy(tmp_path):
    (tmp_path / "case.toml").write_text('[case]\n[[goal]]\nid = "G"\ntext = "Heads"\nundeveloped = true\n')
    program = (
        "import sys\nfrom toulmin.case import check_case\n"
        f"assert check_case({str(tmp_path)!r}).verdict.health.word == 'undeveloped'\n"
        "print([name for name in ('numpy', 'rich', 'jinja2', 'tree_sitter', 'multiprocessing') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_check_leaves_the_garbage_collector_as_it_was(tmp_path, enabled):
    (tmp_path / "case.toml").write_text("[case]\n")
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        check_case(tmp_path)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
