"""Text to tokens and back, through the ``tokenizers`` library, whatever file the vocabulary comes in."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as _Backend
from tokenizers.models import BPE

from toulmin.faults import ExitCode, Fault, FaultError

_MAX_VOCABULARY = 2**24


class Tokenizer:
    """Encodes and decodes; ``bos``, ``eos`` and ``pad`` are token ids or None.

    ``adds_bos``: the model expects ``bos`` in front of every text (Llama and Gemma do, GPT-2 and SmolLM2 do not).
    Nothing is added unasked: tasks of English prompts ask.
    """

    def __init__(
        self,
        backend: _Backend,
        bos: int | None = None,
        eos: int | None = None,
        pad: int | None = None,
        *,
        adds_bos: bool | None = None,
    ) -> None:
        self.backend, self.bos, self.eos, self.pad = backend, bos, eos, pad
        if adds_bos is None:  # what the file's own post-processor does
            adds_bos = bos is not None and backend.encode("a", add_special_tokens=True).ids[:1] == [bos]
        self.adds_bos = adds_bos

    def __len__(self) -> int:
        return self.backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, *, bos: bool = False) -> list[int]:
        """Token ids of a text, with ``bos`` in front where asked.

        :raises FaultError: (``subjects.tokenizer``) where ``bos`` is asked for and the tokenizer has none.
        """
        if bos and self.bos is None:
            raise FaultError(Fault("subjects.tokenizer", "this tokenizer has no token that begins a text"))
        ids = self.backend.encode(text, add_special_tokens=False).ids
        return [self.bos, *ids] if bos and self.bos is not None else ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, without special tokens."""
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=True)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Each token as the vocabulary spells it; ``?`` for an id that it does not have."""
        return [self.backend.id_to_token(int(i)) or "?" for i in ids]

    def token_id(self, token: str) -> int | None:
        """The id of one token of the vocabulary."""
        return self.backend.token_to_id(token)

    def to_json(self) -> str:
        """As the text of a ``tokenizer.json``, with the special tokens' ids under ``toulmin``."""
        data = json.loads(self.backend.to_str())
        data["toulmin"] = {"bos": self.bos, "eos": self.eos, "pad": self.pad, "adds_bos": self.adds_bos}
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a directory or file.

    A directory has ``tokenizer.json``, or GPT-2's ``vocab.json`` and ``merges.txt`` (or ``encoder.json`` and
    ``vocab.bpe``), or one llama2.c ``tok*.bin``. A file is one of ``*.json`` or ``*.bin``.

    :raises FaultError: (``subjects.tokenizer``, exit code SUBJECT) where there is none or it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        found = find_tokenizer(path)
        if found is None:
            raise _fault(path, "no tokenizer.json, vocab.json with merges.txt, or tok*.bin here")
        return found
    return load_llama2c_tokenizer(path) if path.suffix == ".bin" else _load_json(path)


def find_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a directory, or None where it has none."""
    if (folder / "tokenizer.json").is_file():
        return _load_json(folder / "tokenizer.json")
    for vocab, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocab).is_file() and (folder / merges).is_file():
            return load_gpt2_tokenizer(folder / vocab, folder / merges)
    bins = sorted(folder.glob("tok*.bin"))
    return load_llama2c_tokenizer(bins[0]) if len(bins) == 1 else None


def load_gpt2_tokenizer(vocab: str | Path, merges: str | Path) -> Tokenizer:
    """GPT-2's byte-level BPE from its vocabulary (JSON) and its merges (text)."""
    vocab, merges = Path(vocab), Path(merges)
    table = _read_object(vocab)
    try:
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _fault(merges, str(error)) from None
    pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    if not all(isinstance(index, int) and 0 <= index < _MAX_VOCABULARY for index in table.values()):
        raise _fault(vocab, "an id is not a whole number")
    if not all(len(pair) == 2 for pair in pairs):
        raise _fault(merges, "a line is not two tokens")
    backend = _Backend(byte_pair_model(vocab, table, pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    end = table.get("<|endoftext|>")
    if end is not None:
        backend.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return Tokenizer(backend, bos=end, eos=end)


def load_llama2c_tokenizer(path: str | Path) -> Tokenizer:
    """The ``tokenizer.bin`` of llama2.c: scored pieces, merged best score first, with bytes to fall back on.

    As a BPE: a merge for every split of a piece into two pieces, ordered by the score of the whole.
    """
    path = Path(path)
    pieces = _read_pieces(path)
    for index, special in enumerate(("<unk>", "<s>", "</s>")):
        pieces[index] = (special, pieces[index][1])
    table = {text: index for index, (text, _) in reversed(list(enumerate(pieces)))}
    merges = merges_by_score(pieces[3:], table)
    backend = _Backend(byte_pair_model(path, table, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Prepend(" ")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    return Tokenizer(backend, bos=1, eos=2, adds_bos=True)


def merges_by_score(pieces: Sequence[tuple[str, float]], table: Mapping[str, int]) -> list[tuple[str, str]]:
    """SentencePiece's scores as merges: one for every split of a piece into two pieces, the best whole first."""
    return [
        (text[:cut], text[cut:])
        for text, _ in sorted(pieces, key=lambda piece: -piece[1])
        for cut in range(1, len(text))
        if text[:cut] in table and text[cut:] in table and not _is_byte(text)
    ]


def _read_pieces(path: Path) -> list[tuple[str, float]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _fault(path, error.strerror or str(error)) from None
    pieces: list[tuple[str, float]] = []
    start = 4  # the first integer is the longest piece
    try:
        while start < len(data):
            score, length = struct.unpack_from("<fi", data, start)
            start += 8 + length
            if length < 0 or start > len(data) or not math.isfinite(score):
                raise _fault(path, f"piece {len(pieces)} makes no sense")
            pieces.append((data[start - length : start].decode("utf-8"), score))
    except (struct.error, UnicodeDecodeError):
        raise _fault(path, f"cut off, or not text, at piece {len(pieces)}") from None
    if len(pieces) < 3 + 256:
        raise _fault(path, f"has {len(pieces)} pieces, fewer than its special tokens and bytes")
    return pieces


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")


def _load_json(path: Path) -> Tokenizer:
    data = _read_object(path)
    own = data.pop("toulmin", None)
    backend = _parse(path, json.dumps(data))
    ids: dict[str, int | None] = dict.fromkeys(("bos", "eos", "pad"))
    if isinstance(own, dict):
        for role in ids:
            value = own.get(role)
            ids[role] = value if isinstance(value, int) else None
        adds = own.get("adds_bos")
        return Tokenizer(backend, **ids, adds_bos=adds if isinstance(adds, bool) else None)
    beside = path.parent / "tokenizer_config.json"
    settings = _read_object(beside) if beside.is_file() else {}
    for role in ids:
        token = settings.get(f"{role}_token")
        token = token.get("content") if isinstance(token, dict) else token
        ids[role] = backend.token_to_id(token) if isinstance(token, str) else None
    adds = settings.get("add_bos_token")
    return Tokenizer(backend, **ids, adds_bos=adds if isinstance(adds, bool) else None)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _fault(path, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise _fault(path, "not a JSON object")
    return data


def _parse(path: Path, text: str) -> _Backend:
    try:
        return _Backend.from_str(text)
    except BaseException as error:  # the Rust side raises plain Exception, or its own panic
        raise _refusal(path, error) from None


def byte_pair_model(path: Path, table: dict[str, int], merges: Sequence[tuple[str, ...]], **settings: Any) -> BPE:
    """A byte-pair model of the library from a vocabulary and its merges, best first.

    :raises FaultError: (``subjects.tokenizer``) the library refuses them.
    """
    try:
        return BPE(vocab=table, merges=[(pair[0], pair[1]) for pair in merges], **settings)
    except BaseException as error:
        raise _refusal(path, error) from None


def _refusal(path: Path, error: BaseException) -> BaseException:
    """A fault where the library refused a file; anything else, such as an interrupt, is passed on."""
    if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit)):
        return error
    return _fault(path, str(error).split("\n", 1)[0] or type(error).__name__)


def _fault(path: Path, message: str) -> FaultError:
    return FaultError(Fault("subjects.tokenizer", message, str(path)), ExitCode.SUBJECT)
