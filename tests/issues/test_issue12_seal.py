"""Issue 12, section 2: a case is handed over with a seal, and whatever is changed after it is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from toulmin.case import run_case
from toulmin.case.seal import seal_case, verify_seal
from toulmin.cli.case import app
from toulmin.evidence import Store, canonical_json, sha256_of_bytes
from toulmin.faults import ExitCode, FaultError

CASE = """\
[case]
title = "Coin"
[[goal]]
id = "G"
text = "Heads"
prose = "G.md"
supported_by = ["E", "M"]
[[evidence]]
id = "E"
text = "Throws"
study = "coins.rate"
configuration = { coin = "file:coin.txt" }
criterion = "rate.low >= 0.9"
[[module]]
id = "M"
text = "A part"
case = "part"
"""
PART = '[case]\n[[goal]]\nid = "P"\ntext = "Part"\nundeveloped = true\n'


def write_keys(folder: Path, form: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    ssh = form == "openssh"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH if ssh else PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(
        Encoding.OpenSSH if ssh else Encoding.PEM, PublicFormat.OpenSSH if ssh else PublicFormat.SubjectPublicKeyInfo
    )
    names = folder / f"key-{form}", folder / f"key-{form}.pub"
    names[0].write_bytes(private)
    names[1].write_bytes(public)
    return names


@pytest.fixture
def sealed(bench):
    bench.write(CASE)
    bench.write("# Long form", "G.md")
    bench.write(PART, "part/case.toml")
    run_case(bench.folder)
    (bench.folder / "case.seal").write_text(seal_case(bench.check()))
    assert verify_seal(bench.folder / "case.seal") == []
    return bench


def record_of(bench) -> Path:
    return bench.store.folder(bench.store.ids()[0])


EDITS: dict[str, Callable[..., object]] = {
    "the case": lambda b: b.replace("0.9", "0.8"),
    "its lock": lambda b: (b.folder / "case.lock").write_text("version = 2\n"),
    "prose": lambda b: b.write("# Other", "G.md"),
    "a module": lambda b: b.write(PART.replace("Part", "Whole"), "part/case.toml"),
    "an item": lambda b: (record_of(b) / "items.jsonl").write_text("{}\n"),
    "a record": lambda b: (record_of(b) / "record.json").write_text("{}\n"),
    "a record that is deleted": lambda b: shutil.rmtree(record_of(b)),
    "a record that is added": lambda b: b.throw(n=30),
    "the ledger": lambda b: (b.folder / ".toulmin/ledger.jsonl").unlink(),
    "a file that is deleted": lambda b: (b.folder / "G.md").unlink(),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_change_after_the_seal(sealed, name: str) -> None:
    EDITS[name](sealed)
    faults = verify_seal(sealed.folder / "case.seal")
    assert {fault.code for fault in faults} <= {"seal.changed", "seal.gone", "seal.added"}
    assert faults


def test_a_seal_says_the_verdict_it_was_made_under(sealed) -> None:
    said = json.loads((sealed.folder / "case.seal").read_text())["verdict"]
    assert said == {"exit_code": 1, "freshness": "current", "health": "undeveloped"}  # a part is not developed


def test_an_edited_seal(sealed) -> None:
    path = sealed.folder / "case.seal"
    said = json.loads(path.read_text())
    said["verdict"]["exit_code"] = 0
    path.write_text(json.dumps(said))
    assert [fault.code for fault in verify_seal(path)] == ["seal.edited"]


@pytest.mark.parametrize("form", ["pem", "openssh"])
def test_a_signature(sealed, tmp_path, form: str) -> None:
    private, public = write_keys(tmp_path, form)
    path = sealed.folder / "signed.seal"
    path.write_text(seal_case(sealed.check(), private))
    assert verify_seal(path, public_key=public) == []
    other = write_keys(tmp_path, "pem")[1]
    assert [f.message for f in verify_seal(path, public_key=other)] == [
        "it is signed with another key than the one asked for"
    ]
    # who edits the seal and makes the digest anew cannot sign it
    said = json.loads(path.read_text())
    said["title"] = "Another"
    content = {name: value for name, value in said.items() if name not in ("digest", "signature")}
    said["digest"] = sha256_of_bytes(canonical_json(content).encode())
    path.write_text(json.dumps(said))
    assert [f.code for f in verify_seal(path)] == ["seal.signature"]
    del said["signature"]
    path.write_text(json.dumps(said))
    assert verify_seal(path) == []  # without a key nothing is promised
    assert [f.message for f in verify_seal(path, public_key=public)] == ["it is not signed, and a key was asked for"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seal": 1}', '{"seal": 2}', '{"seal": 1, "files": []}'])
def test_what_is_no_seal(tmp_path, text: str) -> None:
    (tmp_path / "case.seal").write_text(text)
    with pytest.raises(FaultError, match=r"seal\.unreadable") as caught:
        verify_seal(tmp_path / "case.seal")
    assert caught.value.exit_code is ExitCode.INVALID


def test_what_is_no_key(sealed, tmp_path) -> None:
    (tmp_path / "key").write_text("secret")
    for key in (tmp_path / "key", tmp_path / "none", sealed.folder / "case.toml"):
        with pytest.raises(FaultError, match=r"seal\.key"):
            seal_case(sealed.check(), key)


def test_on_the_command_line(sealed, tmp_path) -> None:
    private, public = write_keys(tmp_path, "pem")
    (sealed.folder / "case.seal").unlink()
    run = CliRunner().invoke
    done = run(app, ["seal", str(sealed.folder), "--key", str(private)])
    assert done.exit_code == 0, done.output
    assert "signed with an Ed25519 key" in done.output
    seal = str(sealed.folder / "case.seal")
    assert "there is a file already" in str(run(app, ["seal", str(sealed.folder)]).exception)
    moved = tmp_path / "elsewhere"
    shutil.copytree(sealed.folder, moved, ignore=shutil.ignore_patterns("elsewhere"))
    done = run(app, ["verify-seal", seal, "--case", str(moved), "--public-key", str(public)])
    assert done.exit_code == 0, done.output
    assert "the key you named" in done.output
    (moved / "G.md").write_text("other")
    failed = run(app, ["verify-seal", seal, "--case", str(moved)]).exception
    assert isinstance(failed, FaultError)
    assert failed.exit_code is ExitCode.EVIDENCE


def test_a_record_of_another_case_is_changed_after_the_seal(sealed) -> None:
    """A goal of another case rests on that case's store, which the seal therefore holds as well."""
    part = CASE[CASE.index("[[evidence]]") : CASE.index("[[module]]")]
    sealed.write('[case]\n[[goal]]\nid = "P"\ntext = "Part"\nsupported_by = ["E"]\n' + part, "part/case.toml")
    shutil.copy(sealed.folder / "coin.txt", sealed.folder / "part/coin.txt")
    run_case(sealed.folder / "part")
    seal = sealed.folder / "case.seal"
    seal.write_text(seal_case(sealed.check()))
    assert verify_seal(seal) == []
    store = Store(sealed.folder / "part/.toulmin")
    record = store.folder(store.ids()[0])
    kept = (record / "record.json").read_bytes()
    (record / "record.json").write_bytes(kept.replace(b"coins", b"coinz"))
    assert {fault.code for fault in verify_seal(seal)} == {"seal.changed"}
    (record / "record.json").write_bytes(kept)
    assert verify_seal(seal) == []
    record.rename(record.with_name("f" * 64))
    assert {fault.code for fault in verify_seal(seal)} == {"seal.gone", "seal.added"}
