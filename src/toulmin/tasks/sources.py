"""Token sources: endless rows of T tokens in which row i is a function of i alone.

So a stream over a source is resumed by one integer, two processes can share one, and a held-out part is a range of
rows. ``rows(start, n)`` gives ``(n, T)`` token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.tasks.storyworld.grammar import INTRODUCED, ROLES, write_sentences, write_story
from toulmin.tasks.storyworld.tokenizer import encode_words


class TokenSource(Protocol):
    """Rows of ``length`` tokens below ``vocabulary``."""

    @property
    def length(self) -> int:
        """T, the tokens of a row."""
        ...

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""
        ...

    def rows(self, start: int, n: int) -> Int[Tensor, "n T"]:
        """Rows start .. start + n - 1."""
        ...


@dataclass(frozen=True)
class Stories:
    """storyworld as tokens: row i is story i of ``seed``, cut to ``length``.

    ``introduced`` is the probability that a story begins by naming its topic. With ``sentences`` (templates) the rows
    are no stories but such sentences, each of a topic and people of its own.
    """

    length: int
    seed: int = 0
    introduced: float = INTRODUCED
    sentences: tuple[str, ...] = ()

    @property
    def vocabulary(self) -> int:
        """The size of storyworld's vocabulary."""
        from toulmin.tasks.storyworld.tokenizer import story_vocabulary

        return len(story_vocabulary())

    def rows(self, start: int, n: int) -> Int[Tensor, "n T"]:
        """Stories start .. start + n - 1."""
        return self.labelled(start, n)[0]

    def labelled(self, start: int, n: int) -> tuple[Int[Tensor, "n T"], Int[Tensor, "n T"]]:
        """The same rows, and the role of each token as an index of ``storyworld.ROLES``."""
        made = [self._row(i) for i in range(start, start + n)]
        return torch.tensor([m[0] for m in made]), torch.tensor([m[1] for m in made])

    def _row(self, i: int) -> tuple[list[int], list[int]]:
        if self.sentences:
            words, roles = write_sentences(self.sentences, self.seed, i, self.length)
            return encode_words(words), [_ROLE[role] for role in roles]
        story = write_story(self.seed, i, self.length, self.introduced)
        return encode_words(story.words), [_ROLE[role] for role in story.roles]


_ROLE = {role: index for index, role in enumerate(ROLES)}


@dataclass(frozen=True)
class RepeatedTokens:
    """[bos], a random segment, and then the segment again and again, to ``length`` tokens.

    The segment has ``shortest`` to ``longest`` tokens of ``first_token .. vocabulary - 1``, uniform and independent; it
    starts after 0 to ``before`` other random tokens, so that the distance of the repetition cannot be learned.
    """

    length: int
    vocabulary: int
    seed: int = 0
    shortest: int = 8
    longest: int = 32
    before: int = 0
    first_token: int = 1
    bos: int | None = 0

    def rows(self, start: int, n: int) -> Int[Tensor, "n T"]:
        """Rows start .. start + n - 1."""
        out = np.empty((n, self.length), dtype=np.int64)
        for row in range(n):
            rng = np.random.default_rng([self.seed, start + row])
            size = int(rng.integers(self.shortest, self.longest + 1))
            before = int(rng.integers(0, self.before + 1))
            drawn = rng.integers(self.first_token, self.vocabulary, size + before)
            place = np.arange(self.length - (self.bos is not None))
            tokens = np.where(place < before, drawn[np.minimum(place, before)], drawn[before + (place - before) % size])
            out[row] = tokens if self.bos is None else np.concatenate([[self.bos], tokens])
        return torch.from_numpy(out)


@dataclass(frozen=True)
class MarkovRepeats:
    """A random walk in a fixed random language of bigrams, in which a stretch is walked twice.

    Each of the tokens ``first_token .. vocabulary - 1`` has ``branching`` successors with probabilities from a flat
    Dirichlet (the language is a function of ``seed`` alone). A row is [bos], a walk in which a stretch of ``shortest``
    to ``longest`` tokens comes again later, the walk going on from there. So a token alone says something about the
    next (its bigrams), one earlier occurrence says more, and where the token occurred several times only a longer
    match says which continuation is repeated.
    """

    length: int
    vocabulary: int
    seed: int = 0
    branching: int = 8
    shortest: int = 8
    longest: int = 24
    first_token: int = 1
    bos: int | None = 0

    def transitions(self) -> tuple[np.ndarray, np.ndarray]:
        """Successors ``(V', branching)`` of each token (numbered from 0) and their cumulative probabilities."""
        return _transitions(self.seed, self.vocabulary - self.first_token, self.branching)

    def rows(self, start: int, n: int) -> Int[Tensor, "n T"]:
        """Rows start .. start + n - 1."""
        successors, cumulative = self.transitions()
        width = self.length - (self.bos is not None)
        out = np.empty((n, self.length), dtype=np.int64)
        for row in range(n):
            rng = np.random.default_rng([self.seed, start + row, 2])
            points = rng.random(width)
            walk = np.empty(width, dtype=np.int64)
            walk[0] = int(points[0] * len(successors))
            size = int(rng.integers(self.shortest, min(self.longest, (width - 1) // 2) + 1))
            first = int(rng.integers(0, width - 2 * size + 1))
            again = int(rng.integers(first + size, width - size + 1))
            for i in range(1, width):
                if again <= i < again + size:
                    walk[i] = walk[first + i - again]
                else:
                    chances = cumulative[walk[i - 1]]
                    walk[i] = successors[walk[i - 1], min(int(np.searchsorted(chances, points[i])), len(chances) - 1)]
            tokens = walk + self.first_token
            out[row] = tokens if self.bos is None else np.concatenate([[self.bos], tokens])
        return torch.from_numpy(out)


@lru_cache(maxsize=8)
def _transitions(seed: int, size: int, branching: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 3])
    successors = np.stack([rng.choice(size, branching, replace=False) for _ in range(size)])
    return successors, np.cumsum(rng.dirichlet(np.ones(branching), size), axis=1)


@dataclass(frozen=True)
class Mixture:
    """Row i comes from one of ``sources``, chosen by ``weights`` (the choice is a function of seed and i).

    :raises FaultError: lengths or vocabularies differ, or weights that are no weights.
    """

    sources: Sequence[TokenSource]
    weights: Sequence[float]
    seed: int = 0

    def __post_init__(self) -> None:
        faults = []
        if len({s.length for s in self.sources}) != 1 or len({s.vocabulary for s in self.sources}) != 1:
            shapes = [(s.length, s.vocabulary) for s in self.sources]
            faults.append(Fault("tasks.mixture", f"(length, vocabulary) differ: {shapes}"))
        if len(self.weights) != len(self.sources) or min(self.weights) < 0 or not sum(self.weights):
            faults.append(Fault("tasks.mixture", f"weights {list(self.weights)} for {len(self.sources)} sources"))
        if faults:
            raise FaultError(faults)

    @property
    def length(self) -> int:
        """T, the tokens of a row."""
        return self.sources[0].length

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""
        return self.sources[0].vocabulary

    def rows(self, start: int, n: int) -> Int[Tensor, "n T"]:
        """Rows start .. start + n - 1."""
        shares = np.cumsum(np.array(self.weights, float) / sum(self.weights))
        picks = [np.random.default_rng([self.seed, i, 1]).random() for i in range(start, start + n)]
        chosen = [min(int(np.searchsorted(shares, p, side="right")), len(shares) - 1) for p in picks]
        return torch.cat([self.sources[c].rows(start + i, 1) for i, c in enumerate(chosen)])
