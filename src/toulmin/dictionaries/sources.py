"""Tokens for dictionaries by name: generated stories, files of token ids, texts, data sets of the hub.

    stories                             storyworld; evaluation rows come from other seeds
    file:PATH.npy, file:PATH.bin        token ids (.bin: little-endian uint16)
    file:PATH.txt, .json, .jsonl        texts, through the subject's tokenizer
    dir:PATH                            a folder of token ids: train-*.npy in the order of their names, and valid.npy

Of a file the last rows are kept for evaluation, and never trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError, require_extra
from toulmin.studies import Resolver
from toulmin.subjects import Subject, Transformer
from toulmin.tasks import Stories, TokenRows, TokenSource, read_texts

STORIES = "stories"
_HELD_OUT_SEED = 1_000_003  #: added to the seed of stories that are evaluated on


@dataclass(frozen=True)
class TokenSplit:
    """Rows to train on and ``rows`` others to evaluate on, all of one length."""

    training: TokenSource
    held_out: TokenSource
    rows: int

    def evaluation(self) -> Int[Tensor, "R T"]:
        """The evaluation rows."""
        return self.held_out.rows(0, self.rows)


def split_tokens(
    name: str, subject: Subject[Transformer], length: int, rows: int, resolver: Resolver, seed: int = 0
) -> TokenSplit:
    """The tokens that ``name`` stands for, divided.

    :raises FaultError: (exit SUBJECT) tokens of another vocabulary, an unreadable file, or too few tokens; a text
        where the subject has no tokenizer.
    """
    vocabulary = subject.model.config.d_vocab
    if name == STORIES:
        training, held_out = Stories(length, seed), Stories(length, seed + _HELD_OUT_SEED)
        if training.vocabulary != vocabulary:
            text = f"stories have {training.vocabulary} tokens, and the subject {vocabulary}"
            raise FaultError(Fault("dictionaries.tokens", text, name=name), ExitCode.SUBJECT)
        return TokenSplit(training, held_out, rows)
    path = resolver.locate(name)
    if path.is_dir():
        return _split_folder(path, vocabulary, length, rows, seed)
    ids = read_ids(path, subject)
    kept = len(ids) // length * length - rows * length
    if kept < length:
        text = f"{len(ids)} tokens do not give {rows} rows of {length} to evaluate on and one to train on"
        raise FaultError(Fault("dictionaries.tokens", text, name=name), ExitCode.SUBJECT)
    training = TokenRows(ids[:kept], length, vocabulary, seed=seed, name=name)
    return TokenSplit(training, TokenRows(ids[kept:], length, vocabulary, shuffle=False, name=name), rows)


def _split_folder(folder: Path, vocabulary: int, length: int, rows: int, seed: int) -> TokenSplit:
    """Training rows from all ``train-*.npy`` together, evaluation rows from ``valid.npy``."""
    shards = sorted(folder.glob("train-*.npy"))
    if not shards or not (folder / "valid.npy").is_file():
        fault = Fault("dictionaries.tokens", "a folder of tokens has train-*.npy and valid.npy", file=str(folder))
        raise FaultError(fault, ExitCode.SUBJECT)
    ids, held_out = np.concatenate([_load(path) for path in shards]), _load(folder / "valid.npy")
    if len(held_out) < rows * length:
        text = f"{len(held_out)} tokens do not give {rows} rows of {length} to evaluate on"
        raise FaultError(Fault("dictionaries.tokens", text, file=str(folder / "valid.npy")), ExitCode.SUBJECT)
    training = TokenRows(ids, length, vocabulary, seed=seed, name=str(folder))
    return TokenSplit(training, TokenRows(held_out, length, vocabulary, shuffle=False, name=str(folder)), rows)


def _load(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False).reshape(-1)


def read_ids(path: Path, subject: Subject[Transformer]) -> Any:
    """The token ids of a file, mapped where it is one of ids; a text is encoded, <bos> before each document if any."""
    if path.suffix == ".npy":
        return _load(path)
    if path.suffix == ".bin":
        return np.memmap(path, dtype="<u2", mode="r")
    tokenizer = subject.tokenizer
    if tokenizer is None:
        text = "the file is a text, and the subject has no tokenizer"
        raise FaultError(Fault("dictionaries.tokens", text, name=str(path)), ExitCode.SUBJECT)
    return encode_documents(read_texts(path), tokenizer.encode, tokenizer.bos)


def encode_documents(documents: Iterable[str], encode: Callable[[str], Iterable[int]], bos: int | None) -> Any:
    """All documents as one array of ids, ``bos`` before each."""
    ids: list[int] = []
    for document in documents:
        if bos is not None:
            ids.append(bos)
        ids.extend(encode(document))
    return np.array(ids, dtype=np.int64)


def hub_documents(repository: str, file: str, revision: str | None = None) -> list[str]:
    """The documents of one file (``.jsonl``, ``.json``, ``.txt``) of a data set of the Hugging Face hub.

    :raises MissingExtra: without the extra ``[hf]``.
    """
    hub: Any = require_extra("huggingface_hub", "hf")
    return read_texts(hub.hf_hub_download(repository, file, repo_type="dataset", revision=revision))
