"""Atomic checkpoints: a folder per step, complete or absent.

    FOLDER/step-00001000/state.safetensors    every tensor of the State
    FOLDER/step-00001000/state.json           step, optimizer settings, random states, stream position, run, sha256

A checkpoint is written in a hidden sibling, synced to disk, and renamed into place, so a process killed at any moment
leaves only whole checkpoints; older ones are removed afterwards. Which run a folder belongs to is written in it:
resuming with another configuration is an error, never a silent mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.training.state import State, restore_module
from toulmin.training.stream import Batches

FORMAT = 1


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often to checkpoint.

    ``every`` steps (and after the last), keeping the newest ``keep``. ``run`` is the configuration, JSON: a folder
    written under another one is refused.
    """

    folder: Path | str
    every: int = 500
    keep: int = 1
    run: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1:
            raise FaultError(Fault("training.checkpoint", "every and keep are at least 1"))

    def _run_json(self) -> Any:
        return json.loads(json.dumps(dict(self.run), sort_keys=True))

    def steps(self) -> list[int]:
        """The steps there are checkpoints of, ascending."""
        return sorted(int(path.name[5:]) for path in Path(self.folder).glob("step-*") if path.name[5:].isdigit())

    def path(self, step: int) -> Path:
        """The folder of one step."""
        return Path(self.folder) / f"step-{step:08d}"

    def save(self, state: State, batches: Batches[Any]) -> Path:
        """Write the checkpoint of ``state.step``; on return it is on disk."""
        root = Path(self.folder)
        root.mkdir(parents=True, exist_ok=True)
        final, partial = self.path(state.step), root / f".partial-{state.step:08d}-{os.getpid()}"
        if final.exists():
            return final
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        tensors, kept = state.export()
        data = save(tensors)
        _write_synced(partial / "state.safetensors", data)
        record = {
            "format": FORMAT,
            "run": self._run_json(),
            "position": batches.position(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "state": kept,
        }
        _write_synced(partial / "state.json", json.dumps(record).encode())
        _sync_folder(partial)
        partial.rename(final)
        _sync_folder(root)
        for step in self.steps()[: -self.keep]:
            shutil.rmtree(self.path(step), ignore_errors=True)
        for left in root.glob(".partial-*"):
            shutil.rmtree(left, ignore_errors=True)
        return final

    def resume(self, state: State, batches: Batches[Any]) -> bool:
        """Put the newest checkpoint into ``state`` and ``batches``; False when there is none.

        :raises FaultError: the checkpoint is damaged, or belongs to another configuration.
        """
        found = self._read()
        if found is None:
            return False
        record, tensors = found
        state.restore(tensors, record["state"])
        batches.seek(record["position"])
        return True

    def load_module(self, module: nn.Module) -> int | None:
        """Put only the newest checkpoint's module into ``module``; its step, or None when there is none.

        :raises FaultError: as :meth:`resume`, or the tensors are not those of ``module``.
        """
        found = self._read()
        if found is None:
            return None
        record, tensors = found
        restore_module(module, tensors)
        return int(record["state"]["step"])

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        steps = self.steps()
        if not steps:
            return None
        folder = self.path(steps[-1])

        def damaged(what: str) -> FaultError:
            hint = "remove it to go on from the one before, or to start again"
            return FaultError(Fault("training.checkpoint_damaged", what, file=str(folder), hint=hint), ExitCode.SUBJECT)

        try:
            record = json.loads((folder / "state.json").read_bytes())
            data = (folder / "state.safetensors").read_bytes()
            sha256, run, _, _ = (record[key] for key in ("sha256", "run", "state", "position"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(f"cannot be read: {error}") from None
        if record.get("format") != FORMAT:
            text = f"format {record.get('format')}, expected {FORMAT}"
            raise FaultError(Fault("training.checkpoint_format", text, file=str(folder)))
        mine = self._run_json()
        if run != mine:
            differ = sorted(k for k in {*run, *mine} if run.get(k) != mine.get(k))
            raise FaultError(
                Fault("training.other_run", f"was {run.get(k)!r}, is {mine.get(k)!r}", file=str(folder), name=k)
                for k in differ
            )
        if hashlib.sha256(data).hexdigest() != sha256:
            raise damaged("the tensors are not those that were written")
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise damaged(str(error)) from None
        return record, tensors
