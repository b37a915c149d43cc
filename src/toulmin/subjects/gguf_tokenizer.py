r"""Tokenizers from the metadata of a GGUF file.

``tokenizer.ggml.model`` is ``gpt2`` for byte-level BPE (tokens and merges; ``tokenizer.ggml.pre`` names how text is
split into words first) or ``llama`` for SentencePiece's BPE (tokens with scores; bytes to fall back on).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as _Backend

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.tokenizers import Tokenizer, byte_pair_model, merges_by_score

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _byte_level() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _single_digits() -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _byte_level()])


def _split(pattern: str) -> Callable[[], Any]:
    def make() -> Any:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    return make


_WORDS: Mapping[str, Callable[[], Any]] = {
    "gpt-2": _byte_level,
    "olmo": _byte_level,
    "smollm": _single_digits,
    "refact": _single_digits,
    "command-r": _single_digits,
    "llama-bpe": _split(_LLAMA3),
    "llama3": _split(_LLAMA3),
    "smaug-bpe": _split(_LLAMA3),
    "qwen2": _split(_QWEN2),
}


def gguf_tokenizer(metadata: Mapping[str, Any], path: Path) -> Tokenizer | None:
    """The tokenizer that the metadata describe; None where they describe none.

    :raises FaultError: (``subjects.tokenizer``, exit code SUBJECT) another model than the two, an unknown way of
        splitting words, or lists that contradict one another.
    """
    model = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if model is None or tokens is None:
        return None
    kinds = metadata.get("tokenizer.ggml.token_type", [_NORMAL] * len(tokens))
    if len(kinds) != len(tokens):
        raise _fault(path, "tokenizer.ggml.token_type", f"{len(kinds)} types for {len(tokens)} tokens")
    table = {text: index for index, text in reversed(list(enumerate(tokens)))}
    if model == "gpt2":
        backend = _byte_level_bpe(metadata, table, path)
    elif model == "llama":
        backend = _sentence_piece_bpe(metadata, tokens, table, path)
    else:
        message = f"tokenizers of kind {model!r:.40} are not supported; supported are gpt2, llama"
        raise _fault(path, "tokenizer.ggml.model", message)
    special = [
        AddedToken(text, special=kind == _CONTROL, normalized=False)
        for text, kind in zip(tokens, kinds, strict=True)
        if kind in (_CONTROL, _USER_DEFINED) or (kind == _UNKNOWN and model == "llama")
    ]
    backend.add_tokens([token for token in special if not token.special])
    backend.add_special_tokens([token for token in special if token.special])
    roles = {"bos": "bos", "eos": "eos", "pad": "padding"}
    ids = {role: metadata.get(f"tokenizer.ggml.{theirs}_token_id") for role, theirs in roles.items()}
    adds = bool(metadata.get("tokenizer.ggml.add_bos_token", model == "llama"))
    own = {role: None if value is None else int(value) for role, value in ids.items()}
    return Tokenizer(backend, **own, adds_bos=adds)


def _byte_level_bpe(metadata: Mapping[str, Any], table: dict[str, int], path: Path) -> _Backend:
    words = metadata.get("tokenizer.ggml.pre")
    if not isinstance(words, str) or words not in _WORDS:
        message = f"splitting words the way {words!r:.40} does is not supported; supported are {', '.join(_WORDS)}"
        raise _fault(path, "tokenizer.ggml.pre", message)
    merges = [tuple(merge.split(" ")) for merge in metadata.get("tokenizer.ggml.merges", ())]
    if not all(len(merge) == 2 for merge in merges):
        raise _fault(path, "tokenizer.ggml.merges", "a merge is not of two tokens")
    whole_words = words in ("llama-bpe", "llama3", "smaug-bpe")  # a word that is a token is not split
    backend = _Backend(byte_pair_model(path, table, merges, ignore_merges=whole_words))
    if words == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _WORDS[words]()
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentence_piece_bpe(metadata: Mapping[str, Any], tokens: list[str], table: dict[str, int], path: Path) -> _Backend:
    scores = metadata.get("tokenizer.ggml.scores", ())
    if len(scores) != len(tokens):
        raise _fault(path, "tokenizer.ggml.scores", f"{len(scores)} scores for {len(tokens)} tokens")
    merges = merges_by_score(list(zip(tokens, map(float, scores), strict=True)), table)
    unknown = metadata.get("tokenizer.ggml.unknown_token_id")
    name = tokens[int(unknown)] if unknown is not None else None
    backend = _Backend(byte_pair_model(path, table, merges, unk_token=name, byte_fallback=True, fuse_unk=True))
    prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    steps = [normalizers.Replace(" ", "▁")]
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), *steps] if prefix else steps)
    undo = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*undo, decoders.Strip(" ", 1, 0)] if prefix else undo)
    return backend


def _fault(path: Path, name: str, message: str) -> FaultError:
    return FaultError(Fault("subjects.tokenizer", message, str(path), name=name), ExitCode.SUBJECT)
