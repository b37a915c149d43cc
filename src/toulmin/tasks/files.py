"""Token sources over files: texts through a tokenizer, and files of token ids.

All documents are joined (with ``separator`` between them, if any), cut into rows of T tokens, and the rows are given in
an order that is shuffled anew for every epoch: row i is row pi_e(i mod R) of epoch e = i div R, where R is the number
of rows and pi_e a permutation drawn from (seed, e). What does not fill a last row is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError


class TokenRows:
    """Rows of ``length`` tokens cut from one array of ids.

    With ``bos`` each row begins with that id, and takes length - 1 from the array. ``shuffle=False`` keeps the order.

    :raises FaultError: too few tokens for one row, or an id outside the vocabulary.
    """

    def __init__(
        self,
        tokens: NDArray[np.integer],
        length: int,
        vocabulary: int,
        *,
        seed: int = 0,
        bos: int | None = None,
        shuffle: bool = True,
        name: str = "tokens",
    ) -> None:
        self.length, self.vocabulary, self.seed, self.bos, self.shuffle = length, vocabulary, seed, bos, shuffle
        width = length - (bos is not None)
        faults = []
        if width < 1 or len(tokens) < width:
            faults.append(Fault("tasks.too_short", f"{len(tokens)} tokens do not fill one row of {length}", name=name))
        if len(tokens) and (int(tokens.min()) < 0 or int(tokens.max()) >= vocabulary):
            text = f"ids {int(tokens.min())} to {int(tokens.max())}, the vocabulary has 0 to {vocabulary - 1}"
            faults.append(Fault("tasks.other_vocabulary", text, name=name))
        if faults:
            raise FaultError(faults)
        self.n_rows = len(tokens) // width
        self._tokens = tokens[: self.n_rows * width].reshape(self.n_rows, width)

    def rows(self, start: int, n: int) -> Int[Tensor, "n T"]:
        """Rows start .. start + n - 1 of the endless sequence of epochs."""
        index = np.array([self._place(i) for i in range(start, start + n)], dtype=np.int64)
        rows = torch.from_numpy(np.ascontiguousarray(self._tokens[index]).astype(np.int64))
        if self.bos is None:
            return rows
        return torch.cat([torch.full((n, 1), self.bos), rows], 1)

    def _place(self, i: int) -> int:
        epoch, place = divmod(i, self.n_rows)
        return int(_order(self.seed, epoch, self.n_rows)[place]) if self.shuffle else place


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(n)


def read_texts(path: Path | str) -> list[str]:
    """The documents of a file: a JSON list of strings, JSON lines with a ``text``, or one plain text.

    :raises FaultError: it cannot be read, or is not what its suffix says (the line is named).
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 at byte {error.start}") from None
    if path.suffix == ".json":
        data = _json(text, path, None)
        if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
            raise _unreadable(path, "must be a list of strings")
        return data
    if path.suffix == ".jsonl":
        found, faults = [], []
        for line, row in enumerate(text.split("\n"), 1):
            if not row.strip():
                continue
            try:
                data = _json(row, path, line)
            except FaultError as error:
                faults += error.faults
                continue
            if isinstance(data, dict) and isinstance(data.get("text"), str):
                found.append(data["text"])
            else:
                faults.append(Fault("tasks.text_file", "an object with a text is expected", str(path), line))
        if faults:
            raise FaultError(faults, ExitCode.SUBJECT)
        return found
    return [text]


def _json(text: str, path: Path, line: int | None) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        fault = Fault("tasks.text_file", f"not JSON: {error}", str(path), line)
        raise FaultError(fault, ExitCode.SUBJECT) from None


def _unreadable(path: Path, message: str) -> FaultError:
    return FaultError(Fault("tasks.text_file", message, str(path)), ExitCode.SUBJECT)


def text_rows(
    paths: Path | str | Sequence[Path | str],
    encode: Callable[[str], Iterable[int]],
    length: int,
    vocabulary: int,
    *,
    separator: int | None = None,
    seed: int = 0,
    bos: int | None = None,
    shuffle: bool = True,
) -> TokenRows:
    """Rows over text files (:func:`read_texts`), joined in the order given, ``separator`` after each document.

    :raises FaultError: a file cannot be read, or there is too little text.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    parts: list[int] = []
    for path in paths:
        for document in read_texts(path):
            parts.extend(encode(document))
            if separator is not None:
                parts.append(separator)
    name = ", ".join(str(path) for path in paths)
    array = np.array(parts, dtype=np.int64)
    return TokenRows(array, length, vocabulary, seed=seed, bos=bos, shuffle=shuffle, name=name)


def token_rows(
    path: Path | str,
    length: int,
    vocabulary: int,
    *,
    dtype: str = "uint16",
    seed: int = 0,
    bos: int | None = None,
    shuffle: bool = True,
) -> TokenRows:
    """Rows over a file of token ids: ``.npy`` (any integer array), otherwise raw little-endian ``dtype``.

    The file is mapped, not read: it may be larger than memory.

    :raises FaultError: it cannot be read, holds no integers, or is not a whole number of ``dtype``.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            kind = np.dtype(dtype).newbyteorder("<")
            if path.stat().st_size % kind.itemsize or not path.stat().st_size:
                raise _unreadable(path, f"{path.stat().st_size} bytes are no whole number of {dtype}")
            array = np.memmap(path, dtype=kind, mode="r")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except (ValueError, TypeError, EOFError) as error:
        raise _unreadable(path, str(error)) from None
    if not np.issubdtype(array.dtype, np.integer):
        raise _unreadable(path, f"has {array.dtype}, token ids are integers")
    flat = array.reshape(-1)
    return TokenRows(flat, length, vocabulary, seed=seed, bos=bos, shuffle=shuffle, name=str(path))
