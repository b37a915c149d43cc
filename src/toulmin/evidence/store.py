"""The store: one folder a record, named by the record's content hash.

    STORE/records/ID/{record.json, items.jsonl, items.safetensors?, artefacts...}
    STORE/by-study/STUDY_HASH/ID          an empty file: finds the records of a study without reading them all

A record is written whole into a hidden folder beside the others, flushed, and renamed into place: it is there or it is
not. The name is a content hash, so two writers either write different folders or the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from toulmin.evidence.canonical import canonical_json, sha256_of_file
from toulmin.evidence.items import Items, read_items, write_items
from toulmin.evidence.record import Artefact, Evidence, seal
from toulmin.faults import ExitCode, Fault, FaultError, faults_of_validation

RECORD = "record.json"


class Store:
    """Evidence kept in a folder, which is made when the first record is written."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._records, self._by_study = self.root / "records", self.root / "by-study"

    def write(self, draft: Evidence, items: Items) -> Evidence:
        """Seal ``draft`` and write it with its items and their files; the sealed record.

        Atomic: a crash leaves either nothing (but a hidden folder) or the whole record.
        """
        self._records.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=self._records))
        try:
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
            (folder / RECORD).write_text(canonical_json(sealed.model_dump(mode="json")) + "\n", encoding="utf-8")
            for name in [*names, RECORD]:
                _flush(folder / name)
            mark = self._by_study / sealed.study_hash
            mark.mkdir(parents=True, exist_ok=True)
            (mark / sealed.id).touch()  # before the record: a mark without its record is ignored, never the reverse
            target = self._records / sealed.id
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                shutil.rmtree(folder)  # another writer was first, with the same bytes
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _flush(self._records)
        return sealed

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
        path = self.folder(identifier) / RECORD
        try:
            evidence = Evidence.model_validate_json(path.read_bytes())
        except OSError as error:
            raise FaultError(
                Fault("evidence.unreadable", error.strerror or str(error), file=str(path)), ExitCode.EVIDENCE
            ) from None
        except ValidationError as error:
            raise FaultError(
                faults_of_validation(error, "evidence.malformed", file=str(path)), ExitCode.EVIDENCE
            ) from None
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
        """Every artefact that is missing, changed, or present without being listed."""
        folder = self.folder(evidence)
        faults: list[Fault] = []
        for artefact in evidence.artefacts:
            path = folder / artefact.name
            if not path.is_file():
                faults.append(Fault("evidence.missing_file", "the file is gone", str(path), name=artefact.name))
            elif path.stat().st_size != artefact.size or sha256_of_file(path) != artefact.sha256:
                message = "changed after it was written"
                faults.append(Fault("evidence.tampered", message, str(path), name=artefact.name))
        listed = {RECORD, *(artefact.name for artefact in evidence.artefacts)}
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
        folder = self._by_study / study
        marked = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        records = [self.read(name) for name in marked if (self._records / name).is_dir()]
        return sorted(records, key=lambda record: (record.created, record.id), reverse=True)

    def by_study(self) -> Mapping[str, list[str]]:
        """The ids of the records of each study."""
        if not self._by_study.is_dir():
            return {}
        return {folder.name: sorted(p.name for p in folder.iterdir()) for folder in sorted(self._by_study.iterdir())}


def _flush(path: Path) -> None:
    """Have the file or folder on disk before we go on; some file systems cannot flush folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
