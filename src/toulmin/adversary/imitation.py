"""Learning from recorded games what their adversary did: a warm start for an attack, and what it is worth.

The network is trained on the adversary's moves alone: the move played (policy), and how the game ended for it (value,
score, ownership), with the loss of :mod:`toulmin.adversary.amcts` and the move in the place of the visits. Games are
split at random into those that train and those held out; a held-out position whose moves so far stand at a move of a
training game as well is left out, since recorded games share their beginnings. *Top-1* is the share of held-out moves
that are the network's most probable one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toulmin.adversary.amcts import imitation_losses
from toulmin.adversary.buffer import SearchedMoves
from toulmin.adversary.mixture import pad_batch
from toulmin.adversary.ppo import masked_logits, mixed_sizes, network_inputs
from toulmin.adversary.settings import Imitation
from toulmin.evidence import sha256_of_json
from toulmin.faults import FaultError
from toulmin.go import BLACK, WHITE, Games, NetworkFile, SgfGame, TrainableNetwork, input_features, scan_sgf
from toulmin.training import Callback, Checkpoint, IndexedBatches, Schedule, State, fit, generator_at


@dataclass(frozen=True)
class RecordedGame:
    """A recorded game whose score was counted: its source, the adversary's colour, and its lead in points at the end.

    ``turns`` are the numbers of its moves; ``seen`` at each of them, what had been played (equal if and only if the
    moves and the rules so far are, up to chance).
    """

    source: str
    record: SgfGame
    colour: int
    lead: float
    turns: tuple[int, ...]
    seen: tuple[int, ...]

    @property
    def digest(self) -> str:
        """Equal for games of equal moves."""
        game = self.record
        return sha256_of_json([game.size, game.moves, game.black, game.white])[:16]


def recorded_games(files: Sequence[tuple[str, bytes]], adversary: str, won_only: bool = True) -> list[RecordedGame]:
    """The distinct games in which exactly one player's name contains ``adversary``, that were counted and are legal.

    ``won_only``: those that it won. Sorted by digest, so that nothing depends on the order of the files.
    """
    found: dict[str, RecordedGame] = {}
    for name, data in files:
        for game in scan_sgf(data)[0]:
            colours = [c for c, key in ((BLACK, "PB"), (WHITE, "PW")) if adversary in game.headers.get(key, "")]
            lead = game.recorded_lead
            if len(colours) != 1 or lead is None:
                continue
            lead = lead if colours[0] == WHITE else -lead
            if (won_only and lead <= 0) or not _is_legal(game):
                continue
            turns = tuple(at for at, (colour, _) in enumerate(game.moves) if colour == colours[0])
            one = RecordedGame(Path(name).parent.name, game, colours[0], lead, turns, _seen(game, turns))
            if turns:
                found.setdefault(one.digest, one)
    return [found[key] for key in sorted(found)]


def _is_legal(game: SgfGame) -> bool:
    try:
        _replay(game, len(game.moves))
    except FaultError:
        return False
    return True


def _begun(game: SgfGame) -> Games:
    games = Games(1, game.size, game.rules, capacity=len(game.moves) + 2)
    games.place(0, game.black, game.white, game.to_move)
    return games


def _replay(game: SgfGame, moves: int) -> Games:
    games = _begun(game)
    for colour, action in game.moves[:moves]:
        games.set_to_move([0], colour)
        games.play([action])
    return games


def _seen(game: SgfGame, turns: Sequence[int]) -> tuple[int, ...]:
    chain = hash((game.size, game.black, game.white, game.rules.compact()))  # of numbers and of text:
    found: list[int] = []
    wanted = set(turns)
    for at, move in enumerate(game.moves):
        if at in wanted:
            found.append(chain)
        chain = hash((chain, move))
    return tuple(found)


def split_games(
    games: Sequence[RecordedGame], held_out: float, seed: int
) -> tuple[list[RecordedGame], list[RecordedGame]]:
    """Training games and held-out ones, at least one of each, by a draw of the seed."""
    order = generator_at(seed, 13).permutation(len(games)).tolist()
    count = min(max(1, round(held_out * len(games))), len(games) - 1)
    return [games[at] for at in sorted(order[count:])], [games[at] for at in sorted(order[:count])]


def unseen_turns(games: Sequence[RecordedGame], training: Sequence[RecordedGame]) -> list[tuple[int, ...]]:
    """Of each game the adversary's turns whose moves so far are those of no turn of a training game."""
    known = {one for game in training for one in game.seen}
    return [tuple(at for at, one in zip(game.turns, game.seen, strict=True) if one not in known) for game in games]


def moves_of(game: RecordedGame, turns: Sequence[int], with_suicide: bool = False) -> SearchedMoves:
    """What a network is shown at some of the adversary's turns (in their order), and what it is to say.

    ``with_suicide``: how the network counts pass-alive areas (:attr:`toulmin.go.NetworkFile.pass_alive_with_suicide`).
    """
    wanted, size = set(turns), game.record.size
    games, columns = _begun(game.record), dict[str, list[NDArray[Any]]]()
    for at, (colour, action) in enumerate(game.record.moves):
        games.set_to_move([0], colour)
        if at in wanted:
            planes, numbers = input_features(games, pass_alive_with_suicide=with_suicide)
            played = np.zeros(games.actions, np.float32)
            played[action] = 1
            here = {"planes": planes[0], "numbers": numbers[0], "legal": games.legal()[0], "policy": played}
            for name, value in here.items():
                columns.setdefault(name, []).append(value)
        games.play([action])
    area = games.area()[0].astype(np.int64)
    own = np.where(area == game.colour, 1.0, np.where(area == 0, 0.0, -1.0)).astype(np.float32)
    stacked = {name: np.stack(values) for name, values in columns.items()}
    count = len(stacked["policy"])
    return SearchedMoves(
        **stacked,
        result=np.full(count, np.sign(game.lead), np.float32),
        score=np.full(count, game.lead, np.float32),
        ownership=np.broadcast_to(own, (count, size, size)).copy(),
    )


def imitate(
    start: NetworkFile,
    games: Sequence[RecordedGame],
    settings: Imitation,
    folder: Path,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
) -> NetworkFile:
    """Train a network on the moves of the adversary of ``games``; resumes where ``folder`` has a checkpoint.

    A minibatch is of ``settings.games`` games drawn at random, with as many turns of each; boards of several sizes may
    stand in one.
    """
    device = torch.device(device)
    module = TrainableNetwork(start).to(device)
    state = State(module, torch.optim.Adam(module.parameters(), lr=settings.lr))
    stream = IndexedBatches(_drawing(games, settings, seed, start.pass_alive_with_suicide))
    run = {
        "imitation": settings.model_dump(mode="json"),
        "seed": seed,
        "start": start.sha256,
        "games": sha256_of_json([game.digest for game in games]),
    }
    checkpoint = Checkpoint(folder, max(1, settings.updates // 10), run=run)

    def step(state: State, batch: SearchedMoves) -> Mapping[str, Tensor]:
        losses = imitation_losses(state, batch, settings, device)
        state.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(state.module.parameters(), settings.gradient_clip)
        state.optimizer.step()
        return {name: value.detach() for name, value in losses.items()}

    fit(step, state, stream, Schedule(settings.updates, settings.lr, "constant"), checkpoint, callbacks)
    return module.export("imitation")


def _drawing(
    games: Sequence[RecordedGame], settings: Imitation, seed: int, with_suicide: bool
) -> Callable[[int], SearchedMoves]:
    each = -(-settings.minibatch // settings.games)

    def make(number: int) -> SearchedMoves:
        generator = generator_at(seed, 17, number)
        drawn = [games[at] for at in generator.integers(len(games), size=settings.games).tolist()]
        parts = [
            moves_of(
                game, generator.choice(game.turns, min(each, len(game.turns)), replace=False).tolist(), with_suicide
            )
            for game in drawn
        ]
        largest = max(part.planes.shape[1] for part in parts)
        padded = [pad_batch(part, largest) for part in parts]
        return SearchedMoves(*(np.concatenate(column) for column in zip(*padded, strict=True)))

    return make


@torch.inference_mode()
def top_moves(network: NetworkFile, moves: SearchedMoves, device: torch.device | str = "cpu") -> NDArray[np.int64]:
    """The most probable legal move of a network at each position."""
    module = TrainableNetwork(network).to(device).eval()
    planes, numbers, legal = (torch.from_numpy(one).to(device) for one in (moves.planes, moves.numbers, moves.legal))
    heads = module(*network_inputs(planes, numbers, mixed_sizes(moves.planes)))
    return masked_logits(heads, legal).argmax(dim=1).cpu().numpy()


__all__ = [
    "RecordedGame",
    "imitate",
    "moves_of",
    "recorded_games",
    "split_games",
    "top_moves",
    "unseen_turns",
]
