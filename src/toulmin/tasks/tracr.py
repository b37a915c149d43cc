"""Compiled tracr programs as tasks: inputs of the program, and what it must write at each position.

The folder has ``NAME.npz`` (``tokens`` [N, T], ``logits`` [N, T, O]) and ``NAME.json``. A pair is an input and another
one (the row before it, as the recorded ground truth pairs them), scored at one position; the answer is the argmax of
the recorded logits. For a program with one numeric output (O = 1) there is no token that is right: its pairs answer
token 0, and only differences of outputs mean something, so accuracy of such a task is always 1.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks.pair import Pair, Task


def tracr_task(folder: Path | str, program: str, *, positions: Sequence[int] = (1, 2, 3, 4, 5)) -> Task:
    """A program's task: pair i is row i against row i - 1, scored at ``positions`` in turn.

    ``wrong`` is what the counterfactual input would have there, where that differs (otherwise all other outputs).

    :raises FaultError: the files are missing or are not those of a program; a position outside its inputs.
    """
    path = Path(folder) / f"{program}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            tokens, logits = data["tokens"], data["logits"]
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from None
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise _bad(path, str(error)) from None
    if tokens.ndim != 2 or logits.shape[:2] != tokens.shape or logits.ndim != 3:
        raise _bad(path, f"tokens {list(tokens.shape)} do not fit logits {list(logits.shape)}")
    outside = [p for p in positions if not 0 <= p < tokens.shape[1]]
    if outside or not positions:
        raise FaultError(
            Fault("tasks.position", f"positions {outside or 'none'} of 0 .. {tokens.shape[1] - 1}", str(path))
        )
    right = logits.argmax(-1)
    outputs = range(logits.shape[2])

    def one(row: int, at: int) -> Pair:
        other = (row - 1) % len(tokens)
        answer = int(right[row, at])
        flipped = int(right[other, at])
        wrong = (flipped,) if flipped != answer else tuple(o for o in outputs if o != answer)
        return Pair(
            tuple(tokens[row]),
            tuple(tokens[other]),
            (answer,),
            wrong,
            {f"p{i}": i for i in range(tokens.shape[1])},
            unit=f"{program}-{row}",
            at=at,
        )

    def generate(n: int, seed: int, split: str) -> list[Pair]:
        order = np.random.default_rng(seed).permutation(len(tokens)) if seed else np.arange(len(tokens))
        places = [(int(row), at) for at in positions for row in order]
        return [one(row, at) for row, at in places[:n]]

    return Task(f"tracr.{program}", generate, ("test",), f"the compiled program {program}", logits.shape[2])


def _bad(path: Path, message: str) -> FaultError:
    return FaultError(Fault("tasks.tracr", message, str(path)), ExitCode.SUBJECT)
