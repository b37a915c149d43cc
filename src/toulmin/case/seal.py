"""A seal: one file with the hashes of everything a case rests on, for handing the case over.

It names the files of the case (and of the cases of its modules), every record of their stores with its files, the last
line of each ledger, the inputs and the code, and the verdict on the day. Its digest is the SHA-256 of its content.
Signed with an Ed25519 key it also says who sealed: then nobody without that key can seal something else in its place.
Without a key it protects against accidents, and against whoever cannot replace the seal itself (one that was sent
apart from the case, or whose digest was written down).
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toulmin.case.checking import Checked, require_valid
from toulmin.case.file.casefile import LOCK_NAME, Case, load_case
from toulmin.evidence import Store, canonical_json, sha256_of_bytes, sha256_of_file
from toulmin.faults import ExitCode, Fault, FaultError, require_extra
from toulmin.studies import code_hash

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SEAL_NAME = "case.seal"
VERSION = 1


def seal_case(checked: Checked, key: Path | None = None) -> str:
    """The text of the seal of a checked case; ``key`` is a file with an Ed25519 private key (PEM or OpenSSH).

    :raises FaultError: the form of the case is broken, a file cannot be read, or the key is not one.
    """
    case = require_valid(checked)
    verdict, store = checked.verdict, checked.store
    content: dict[str, Any] = {
        "seal": VERSION,
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "title": verdict.title,
        "verdict": {
            "exit_code": int(verdict.exit_code),
            "health": verdict.health.word if verdict.health is not None else None,
            "freshness": verdict.freshness.value if verdict.freshness is not None else None,
        },
        "files": {name: sha256_of_file(path) for name, path in sorted(_files(case))},
        "store": case.parsed.case.store,
        **_store_content(store),
        "nested": {name: _store_content(inner) for name, inner in _nested_stores(case, case.folder)},
        "inputs": {
            state.reference: state.now for r in checked.resolutions.values() for state in r.binding.inputs if state.now
        },
        "code": {r.question.study.kind: code_hash(r.question.study) for r in checked.resolutions.values()},
    }
    digest = sha256_of_bytes(canonical_json(content).encode())
    sealed: dict[str, Any] = {**content, "digest": digest}
    if key is not None:
        private = _private_key(key)
        sealed["signature"] = {
            "algorithm": "ed25519",
            "public_key": base64.b64encode(private.public_key().public_bytes_raw()).decode(),
            "value": base64.b64encode(private.sign(digest.encode())).decode(),
        }
    return json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _files(case: Case, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """The files of a case by their paths from its folder: case, lock, prose, studies, and those of its modules."""
    yield prefix + case.file.name, case.file
    if (case.folder / LOCK_NAME).is_file():
        yield prefix + LOCK_NAME, case.folder / LOCK_NAME
    named = [element.prose for element in case.nodes.values()]
    named += [node.configuration for node in case.parsed.evidence if isinstance(node.configuration, str)]
    for name in named:
        target = case.inside(name) if name is not None else None
        if name is not None and target is not None and target.is_file():
            yield prefix + name, target
    for nested in _nested_cases(case) if not prefix else ():
        folder = nested.folder.resolve().relative_to(case.folder.resolve()).as_posix()
        yield from _files(nested, f"{folder}/")


def _nested_cases(case: Case, depth: int = 0) -> Iterator[Case]:
    """The cases that a case refers to, and theirs, each as often as it is referred to."""
    for module in case.parsed.module if depth < 16 else ():
        target = case.inside(module.case)
        nested, _ = load_case(target) if target is not None else (None, [])
        if nested is not None:
            yield nested
            yield from _nested_cases(nested, depth + 1)


def _nested_stores(case: Case, folder: Path) -> Iterator[tuple[str, Store]]:
    """The stores of the cases that a case refers to, by their paths from ``folder``."""
    for nested in _nested_cases(case):
        name = os.path.relpath(nested.store_folder.resolve(), folder.resolve())
        yield Path(name).as_posix(), Store(nested.store_folder)


def _store_content(store: Store) -> dict[str, Any]:
    """The hashes of every file of every record of a store, and of the last line of its ledger."""
    records = {identifier: _record_files(store, identifier) for identifier in store.ids()}
    return {"records": records, "ledger": store.ledger().head}


def _record_files(store: Store, identifier: str) -> dict[str, str]:
    folder = store.folder(identifier)
    return {p.relative_to(folder).as_posix(): sha256_of_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def verify_seal(path: Path, folder: Path | None = None, public_key: Path | None = None) -> list[Fault]:
    """Everything in which the case in ``folder`` (that of the seal by default) is not what was sealed.

    ``public_key`` is a file with the key that must have signed (PEM or OpenSSH).

    :raises FaultError: the file is not a seal, or the key is not one.
    """
    sealed = read_seal(path)
    folder = path.parent if folder is None else folder if folder.is_dir() else folder.parent
    faults: list[Fault] = []

    def fault(code: str, message: str, name: str | None = None) -> None:
        faults.append(Fault(code, message, str(path), name=name))

    content = {name: value for name, value in sealed.items() if name not in ("digest", "signature")}
    if sha256_of_bytes(canonical_json(content).encode()) != sealed["digest"]:
        fault("seal.edited", "its content does not have the digest that it names")
    problem = _signature_problem(sealed, public_key)
    if problem is not None:
        fault("seal.signature", problem)
    for name, digest in sealed["files"].items():
        target = folder / name
        if not target.is_file():
            fault("seal.gone", "a sealed file is gone", name)
        elif sha256_of_file(target) != digest:
            fault("seal.changed", "it is not the file that was sealed", name)
    faults += _store_faults(path, Store(folder / sealed["store"]), sealed)
    for name, content in sealed["nested"].items():
        faults += _store_faults(path, Store(folder / name), content)
    return faults


def _store_faults(path: Path, store: Store, sealed: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything in which a store is not what was sealed of it."""
    present = set(store.ids())
    for identifier, files in sealed["records"].items():
        if identifier not in present:
            yield Fault("seal.gone", "a sealed record is gone", str(path), name=identifier[:12])
        elif _record_files(store, identifier) != files or Store.RECORD not in files:
            yield Fault("seal.changed", "it is not the record that was sealed", str(path), name=identifier[:12])
    for identifier in sorted(present - sealed["records"].keys()):
        yield Fault("seal.added", "a record that was not sealed", str(path), name=identifier[:12])
    if sealed["ledger"] not in (store.ledger().head, *store.ledger().hashes):
        message = "the ledger of the store is not the one that was sealed"
        yield Fault("seal.changed", message, str(path), name="ledger.jsonl")


def read_seal(path: Path) -> dict[str, Any]:
    """The content of a seal.

    :raises FaultError: it cannot be read, or is not a seal.
    """
    kinds = {"files": dict, "records": dict, "nested": dict, "store": str, "ledger": str, "digest": str}
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaultError(Fault("seal.unreadable", str(error), str(path)), ExitCode.INVALID) from None
    if not isinstance(found, dict) or found.get("seal") != VERSION:  # type: ignore[reportUnknownMemberType]
        raise FaultError(Fault("seal.unreadable", f"not a seal of version {VERSION}", str(path)), ExitCode.INVALID)
    sealed: dict[str, Any] = found  # type: ignore[assignment]
    wrong = [name for name, kind in kinds.items() if not isinstance(sealed.get(name), kind)]
    if wrong:
        raise FaultError([Fault("seal.unreadable", "missing or malformed", str(path), name=n) for n in wrong])
    return sealed


def _signature_problem(sealed: dict[str, Any], public_key: Path | None) -> str | None:
    signature = sealed.get("signature")
    if signature is None:
        return "it is not signed, and a key was asked for" if public_key is not None else None
    require_extra("cryptography", "sign")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = base64.b64decode(signature["public_key"], validate=True)
        signer = Ed25519PublicKey.from_public_bytes(raw)
        signer.verify(base64.b64decode(signature["value"], validate=True), sealed["digest"].encode())
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return "the signature is not one of its digest"
    if public_key is not None and _public_key(public_key).public_bytes_raw() != raw:
        return "it is signed with another key than the one asked for"
    return None


def _key(path: Path, loaders: tuple[Callable[[bytes], Any], ...], kind: type) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FaultError(Fault("seal.key", error.strerror or str(error), str(path))) from None
    for load in loaders:
        try:
            key = load(data)
        except (ValueError, TypeError):  # another format, or a password is needed
            continue
        if isinstance(key, kind):
            return key
    raise FaultError(Fault("seal.key", "not an Ed25519 key in PEM or OpenSSH form without a password", str(path)))


def _private_key(path: Path) -> Ed25519PrivateKey:
    require_extra("cryptography", "sign")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    loaders = (
        partial(serialization.load_pem_private_key, password=None),
        partial(serialization.load_ssh_private_key, password=None),
    )
    return _key(path, loaders, Ed25519PrivateKey)


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return _key(path, (serialization.load_pem_public_key, serialization.load_ssh_public_key), Ed25519PublicKey)
