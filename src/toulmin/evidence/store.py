"""The store: one folder a record, named by the record's content hash.

    STORE/records/ID/{record.json, items.jsonl, items.safetensors?, artefacts...}
    STORE/ledger.jsonl                    every record ever written, in a chain of hashes (toulmin.evidence.ledger)

A record is written whole into a hidden folder beside the others, flushed, and renamed into place: it is there or it is
not. The name is a content hash, so two writers either write different folders or the same bytes. The ledger is the
index of the store: a record that is renamed, deleted or put in by hand does not agree with it (:meth:`Store.audit`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from toulmin.evidence.canonical import canonical_json, sha256_of_file
from toulmin.evidence.disk import try_lock, unwritable
from toulmin.evidence.items import Items, read_items, write_items
from toulmin.evidence.ledger import LEDGER, Ledger, append, ledger_lock, read_ledger
from toulmin.evidence.record import SCHEMA, Artefact, Evidence, check_record, seal
from toulmin.faults import ExitCode, Fault, FaultError, faults_of_validation

_WRITING = ".writing-"
_YOUNG = 60.0  # seconds


class Store:
    """Evidence kept in a folder, which is made when the first record is written."""

    RECORD: ClassVar = "record.json"  #: the file of a record in its folder

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._records = self.root / "records"
        self._ledger: tuple[object, Ledger] = (None, Ledger())

    def write(self, draft: Evidence, items: Items) -> Evidence:
        """Seal ``draft`` and write it with its items and their files; the sealed record.

        Atomic: a crash leaves either nothing (but a hidden folder, which the next writer removes) or the whole record.

        :raises FaultError: the disk is full, read-only or failing: nothing is kept, and no temporary file is left.
        """
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            folder = Path(tempfile.mkdtemp(prefix=_WRITING, dir=self._records))
            alive = try_lock(folder.with_suffix(".alive"))
        except OSError as error:
            raise unwritable(error, self.root) from None
        try:
            return self._write(draft, items, folder)
        except OSError as error:
            raise unwritable(error, self.root) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if alive is not None:
                alive.release(remove=True)

    def _write(self, draft: Evidence, items: Items, folder: Path) -> Evidence:
        names = write_items(items, folder)
        for name, source in items.files.items():
            target = folder / Artefact(name=name, sha256="0" * 64, size=0).name  # a name that stays inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            names.append(name)
        artefacts = tuple(
            Artefact(name=name, sha256=sha256_of_file(folder / name), size=(folder / name).stat().st_size)
            for name in names
        )
        sealed = seal(draft.model_copy(update={"artefacts": artefacts, "n": items.n}))
        (folder / self.RECORD).write_text(canonical_json(sealed.model_dump(mode="json")) + "\n", encoding="utf-8")
        for name in [*names, self.RECORD]:
            _flush(folder / name)
        entry = {"record": sealed.id, "study": sealed.study_hash}
        with ledger_lock(self.root):
            if sealed.id in self.ledger().records and (self._records / sealed.id).is_dir():
                return sealed  # another writer was first, with the same bytes
            append(self.root, {"event": "begun", **entry})
            folder.rename(self._records / sealed.id)
            _flush(self._records)
            append(self.root, {"event": "kept", **entry})
        return sealed

    def _remove_abandoned(self) -> None:
        """The hidden folders of writers that were killed."""
        for folder in self._records.glob(f"{_WRITING}*"):
            if folder.suffix == ".alive":
                continue
            held = try_lock(folder.with_suffix(".alive"))
            if held is not None:
                if time.time() - folder.stat().st_mtime > _YOUNG:  # one just made is not locked yet
                    shutil.rmtree(folder, ignore_errors=True)
                held.release(remove=True)

    def ledger(self) -> Ledger:
        """The ledger, read again where its file changed.

        :raises FaultError: it cannot be read.
        """
        try:
            status = (self.root / LEDGER).stat()
            key: object = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        except OSError:
            key = None
        if key is None or key != self._ledger[0]:
            self._ledger = (key, read_ledger(self.root))
        return self._ledger[1]

    def note(self, event: str, **details: str) -> str:
        """Add an event to the ledger (:mod:`toulmin.evidence.ledger` lists them); the hash of its line.

        :raises FaultError: the store cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with ledger_lock(self.root):
                return append(self.root, {"event": event, **details})
        except OSError as error:
            raise unwritable(error, self.root) from None

    def audit(self) -> list[Fault]:
        """Everything in which records and ledger do not agree: broken chain, records gone, or put in by hand.

        :raises FaultError: the ledger cannot be read.
        """
        ledger, present = self.ledger(), set(self.ids())
        faults = list(ledger.faults)
        for identifier in ledger.records:
            if identifier not in present:
                message = "the ledger has this record, and it is gone: it was deleted or renamed"
                faults.append(Fault("ledger.gone", message, str(self.root), name=identifier))
        for identifier in sorted(present - ledger.records.keys() - ledger.begun.keys()):
            message = "the ledger has no such record: it was renamed, put in by hand, or the ledger was cut"
            faults.append(Fault("ledger.unknown", message, str(self.root), name=identifier))
        return faults

    def ids(self) -> list[str]:
        """The ids of all records, sorted."""
        if not self._records.is_dir():
            return []
        return sorted(path.name for path in self._records.iterdir() if not path.name.startswith("."))

    def resolve(self, prefix: str) -> str:
        """The one id that begins with ``prefix``.

        :raises FaultError: none does, or several do.
        """
        found = [prefix] if (self._records / prefix).is_dir() and prefix else []
        found = found or [identifier for identifier in self.ids() if identifier.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        message = "no such evidence" if not found else f"{len(found)} records begin with it"
        raise FaultError(Fault("evidence.not_found", message, file=str(self.root), name=prefix), ExitCode.INVALID)

    def folder(self, evidence: Evidence | str) -> Path:
        """Where the files of a record are."""
        return self._records / (evidence if isinstance(evidence, str) else evidence.id)

    def read(self, prefix: str) -> Evidence:
        """Read one record and check that it is what was written (its artefacts: :meth:`verify`).

        :raises FaultError: not found, truncated, malformed, or its content does not have the hash that is its name.
        """
        identifier = self.resolve(prefix)
        path = self.folder(identifier) / self.RECORD
        try:
            evidence = Evidence.model_validate_json(path.read_bytes())
        except OSError as error:
            raise FaultError(
                Fault("evidence.unreadable", error.strerror or str(error), file=str(path)), ExitCode.EVIDENCE
            ) from None
        except ValidationError as error:
            faults = faults_of_validation(error, "evidence.malformed", file=str(path))
            if any(part["loc"] == ("record",) for part in error.errors()):
                message = f"its schema is not {SCHEMA}, that of this version of Toulmin"
                faults = [Fault("evidence.schema", message, str(path), name=identifier, hint="run the study again")]
            raise FaultError(faults, ExitCode.EVIDENCE) from None
        if evidence.content_hash() != identifier or evidence.id != identifier:
            message = "the content does not have the hash it is named by: it was changed after it was written"
            raise FaultError(Fault("evidence.tampered", message, file=str(path), name=identifier), ExitCode.EVIDENCE)
        return evidence

    def items(self, evidence: Evidence) -> Items:
        """The items of a record.

        :raises FaultError: a file of it is missing, changed or malformed.
        """
        faults = self.verify(evidence)
        if faults:
            raise FaultError(faults, ExitCode.EVIDENCE)
        return read_items(self.folder(evidence))

    def artefact(self, evidence: Evidence | str, name: str) -> Path:
        """The path of an artefact that the record lists.

        :raises FaultError: the record lists none of that name.
        """
        record = self.read(evidence) if isinstance(evidence, str) else evidence
        if name not in {artefact.name for artefact in record.artefacts}:
            listed = ", ".join(artefact.name for artefact in record.artefacts)
            raise FaultError(Fault("evidence.no_artefact", f"the record lists only: {listed}", name=name))
        return self.folder(record) / name

    def verify(self, evidence: Evidence) -> list[Fault]:
        """Where the record contradicts itself, and every file that is missing, changed or not listed."""
        folder = self.folder(evidence)
        faults = check_record(evidence)
        for artefact in evidence.artefacts:
            path = folder / artefact.name
            if not path.is_file():
                faults.append(Fault("evidence.missing_file", "the file is gone", str(path), name=artefact.name))
            elif path.stat().st_size != artefact.size or sha256_of_file(path) != artefact.sha256:
                message = "changed after it was written"
                faults.append(Fault("evidence.tampered", message, str(path), name=artefact.name))
        listed = {self.RECORD, *(artefact.name for artefact in evidence.artefacts)}
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and path.relative_to(folder).as_posix() not in listed:
                faults.append(Fault("evidence.stray_file", "not listed in the record", str(path)))
        return faults

    def list(self) -> Iterator[Evidence | FaultError]:
        """Every record, or what is wrong with it."""
        for identifier in self.ids():
            try:
                yield self.read(identifier)
            except FaultError as faulty:
                yield faulty

    def find(self, study: str) -> list[Evidence]:
        """The records of a study (by its :func:`~toulmin.evidence.study_hash`), newest first.

        :raises FaultError: one of them is damaged.
        """
        ledger = self.ledger()
        names = [i for i, of in (*ledger.records.items(), *ledger.begun.items()) if of == study]
        records = [self.read(name) for name in names if (self._records / name).is_dir()]
        return sorted(records, key=lambda record: (record.created, record.id), reverse=True)

    def by_study(self) -> Mapping[str, Sequence[str]]:
        """The ids of the records of each study that are in the store."""
        ledger, found = self.ledger(), dict[str, list[str]]()
        for identifier, study in (*ledger.records.items(), *ledger.begun.items()):
            if (self._records / identifier).is_dir():
                found.setdefault(study, []).append(identifier)
        return found


def _flush(path: Path) -> None:
    """Have the file or folder on disk before we go on; some file systems cannot flush folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
