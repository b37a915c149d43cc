"""GTP: the codec against the protocol's text, the client against engines that misbehave, and against GNU Go."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.faults import ExitCode, FaultError
from toulmin.go.gtp.client import Engine, EngineFailure, Refusal
from toulmin.go.gtp.protocol import Answer, Command, colour_of, format_answer, parse_answer, parse_command
from toulmin.go.players.player import RESIGN

GNUGO = shutil.which("gnugo") or "/usr/games/gnugo"
needs_gnugo = pytest.mark.skipif(not os.access(GNUGO, os.X_OK), reason="GNU Go is not installed")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("boardsize 9", Command(None, "boardsize", ("9",))),
        ("12 play\tblack  D4 # a comment", Command(12, "play", ("black", "D4"))),
        ("  name\r", Command(None, "name")),
        ("3\x07 genmove w\x00", Command(3, "genmove", ("w",))),
        ("# only a comment", None),
        ("", None),
        ("   \t ", None),
        ("17", None),
    ],
)
def test_commands_are_read_as_the_protocol_says(line, command):
    assert parse_command(line) == command


def test_answers_go_over_the_wire_and_back():
    assert format_answer(Answer(True, 4, "D4")) == "=4 D4\n\n"
    assert format_answer(Answer(False, None, "unknown command")) == "? unknown command\n\n"
    assert format_answer(Answer(True, None, "")) == "=\n\n"
    assert format_answer(Answer(True, None, "a\n\nb")) == "= a\nb\n\n"
    assert parse_answer("=4 D4\n\n") == Answer(True, 4, "D4")
    assert parse_answer("=\n\n") == Answer(True, None, "")
    assert parse_answer("?9 illegal move\r\n") == Answer(False, 9, "illegal move")
    assert parse_answer("= a\nb\n") == Answer(True, None, "a\nb")
    assert parse_answer("=6\ninfo move E5") == Answer(True, 6, "info move E5")
    with pytest.raises(FaultError, match=r"gtp\.answer"):
        parse_answer("GNU Go says hello")


@given(st.text())
@settings(max_examples=400, deadline=None)
def test_any_line_is_a_command_or_nothing(line):
    command = parse_command(line)
    assert command is None or (command.name and " " not in command.name)
    if command is not None and "#" not in str(command):
        assert parse_command(str(command)) is not None


@given(st.booleans(), st.none() | st.integers(0, 10**9), st.text())
@settings(max_examples=400, deadline=None)
def test_any_answer_survives_the_wire(ok, number, text):
    wire = format_answer(Answer(ok, number, text))
    assert wire.endswith("\n\n")
    assert "\n\n" not in wire[:-2]
    back = parse_answer(wire)
    assert (back.ok, back.number) == (ok, number)


@given(st.text())
@settings(max_examples=400, deadline=None)
def test_any_text_is_an_answer_or_a_fault(text):
    try:
        assert isinstance(parse_answer(text), Answer)
    except FaultError as error:
        assert error.faults[0].code == "gtp.answer"  # noqa: PT017 - either outcome is right


def test_colours():
    assert [colour_of(name) for name in ("b", "Black", "W", "white")] == [1, 1, 2, 2]
    with pytest.raises(FaultError, match=r"gtp\.colour"):
        colour_of("green")


def fake(tmp_path: Path, body: str, timeout: float = 5.0) -> Engine:
    """A Python program that reads a line at a time and does what ``body`` says with ``number`` and ``words``."""
    path = tmp_path / "engine.py"
    loop = "import os, sys, time\nfor line in sys.stdin:\n    number, *words = line.split()\n"
    path.write_text(loop + textwrap.indent(textwrap.dedent(body), "    "))
    return Engine([sys.executable, "-S", "-E", "-u", str(path)], timeout=timeout)


def test_a_well_behaved_engine(tmp_path):
    with fake(tmp_path, "print(f'={number} C3\\r\\n\\r\\n', end='', flush=True)") as engine:
        engine.start_game(9, 7.5)
        assert engine.genmove(1, 9) == 6 * 9 + 2
        assert not engine.closed
    assert engine.closed
    engine.close()


def test_an_engine_may_refuse_and_go_on(tmp_path):
    body = "print(f'?{number} illegal move\\n' if words[0] == 'play' else f'={number} resign\\n', flush=True)"
    with fake(tmp_path, body) as engine:
        with pytest.raises(Refusal, match="illegal move"):
            engine.play(1, 0, 9)
        assert engine.genmove(2, 9) == RESIGN


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("sys.stderr.write('out of memory\\n'); sys.exit(3)", "gtp.ended"),
        ("os.kill(os.getpid(), 9)", "gtp.ended"),
        ("print(f'={number} ', end='', flush=True); sys.exit(0)", "gtp.ended"),
        ("time.sleep(60)", "gtp.timeout"),
        ("print(f'={number} half an answer', flush=True); time.sleep(60)", "gtp.timeout"),
        ("print('hello\\n', flush=True)", "gtp.garbage"),
        ("print(f'={int(number) + 1} D4\\n', flush=True)", "gtp.garbage"),
        ("print('= D4\\n', flush=True)", "gtp.garbage"),
        ("print(f'={number} Z99\\n', flush=True)", "gtp.garbage"),
        ("print(f'={number} D4 E5\\n', flush=True)", "gtp.garbage"),
        ("print(f'={number}\\n', flush=True)", "gtp.garbage"),
        ("sys.stdout.buffer.write(bytes(range(128, 256)) * 20 + b'\\n\\n'); sys.stdout.flush()", "gtp.garbage"),
        ("while True: sys.stdout.write('x' * 100000); sys.stdout.flush()", "gtp.too_long"),
    ],
)
def test_a_misbehaving_engine_is_one_fault_and_is_ended(tmp_path, body, code):
    engine = fake(tmp_path, body, timeout=1.5 if code == "gtp.timeout" else 20.0)
    before = time.monotonic()
    with pytest.raises(EngineFailure) as caught:
        engine.genmove(1, 9)
    assert caught.value.faults[0].code == code
    assert caught.value.exit_code == ExitCode.SUBJECT
    assert "Traceback" not in str(caught.value)
    assert engine.closed
    assert time.monotonic() - before < 20
    assert engine._process.poll() is not None
    with pytest.raises(EngineFailure, match=r"gtp\.ended"):
        engine.send("name")
    if "memory" in body:
        assert "out of memory" in str(caught.value)


def test_what_an_engine_started_ends_with_it(tmp_path):
    marker = tmp_path / "child"
    body = f"""
    import subprocess
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    open({str(marker)!r}, "w").write(str(child.pid))
    time.sleep(60)
    """
    engine = fake(tmp_path, body, timeout=3.0)
    with pytest.raises(EngineFailure, match=r"gtp\.timeout"):
        engine.send("name")
    child = int(marker.read_text())
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the engine's own child is still running")


def test_a_program_that_is_not_there():
    for command in ([], ["no-such-engine-at-all"]):
        with pytest.raises(FaultError, match=r"gtp\.program") as caught:
            Engine(command)
        assert caught.value.exit_code == ExitCode.MISSING


@given(st.binary(max_size=200))
@settings(max_examples=25, deadline=None)
def test_whatever_bytes_an_engine_writes(tmp_path_factory, noise):
    folder = tmp_path_factory.mktemp("noise")
    (folder / "noise").write_bytes(noise)
    engine = Engine(["/bin/cat", str(folder / "noise")], timeout=20.0)
    with pytest.raises((EngineFailure, Refusal)):
        engine.genmove(1, 9)
    engine.close()


@needs_gnugo
def test_gnugo_answers():
    with Engine([GNUGO, "--mode", "gtp", "--level", "1", "--seed", "1"], timeout=30.0) as engine:
        assert engine.send("protocol_version") == "2"
        engine.start_game(9, 7.5)
        engine.play(1, 40, 9)
        assert 0 <= engine.genmove(2, 9) <= 81
        with pytest.raises(Refusal):
            engine.play(1, 40, 9)
        assert not engine.closed
