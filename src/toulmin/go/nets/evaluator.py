"""Evaluates positions with a network: input features, symmetry, the network, and the scaling of its outputs.

Outputs as KataGo defines them: softmax over the legal moves and the pass; softmax of win, loss and no result (which
cannot be under superko with area scoring); score mean and lead times their scales, standard deviation softplus times
its scale, both means and the lead times the chance that there is a result; ownership tanh.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine import turns
from toulmin.go.engine.games import Games, Rows
from toulmin.go.nets.evaluation import Evaluation
from toulmin.go.nets.features import input_features
from toulmin.go.nets.layers import NetworkFile
from toulmin.go.nets.network import Extent, Heads, Network, can_pack
from toulmin.go.nets.reader import read_network

SYMMETRIES = 8
GOOD_BATCH = 4
"""Positions that a CPU evaluates in less than twice the time of one (9x9; see benchmarks/go.md).

On a GPU many more would cost it nothing, but their input features cost the CPU, which is what limits there."""
CPU_BATCH, DEVICE_BATCH = 256, 4096


def symmetry_order(size: int, symmetry: int) -> NDArray[np.int64]:
    """Where the points of a transformed board come from: new point i is old point ``order[i]``.

    Bit 1 of ``symmetry`` (0 to 7) turns the board upside down, bit 2 left to right, bit 4 then transposes it.
    """
    board = np.arange(size * size).reshape(size, size)
    if symmetry & 1:
        board = board[::-1]
    if symmetry & 2:
        board = board[:, ::-1]
    return (board.T if symmetry & 4 else board).ravel()


def _orders(size: int) -> NDArray[np.int64]:
    return np.stack([symmetry_order(size, k) for k in range(SYMMETRIES)])


class Evaluator:
    """A KataGo network that evaluates positions of :class:`~toulmin.go.Games`.

    ``network`` is a path or what :func:`read_network` gave. ``dtype`` float32, float64 or bfloat16. ``pad_to`` puts
    smaller boards into the corner of a larger tensor, which changes nothing but rounding; ``max_batch`` bounds the
    positions that go through the network at once (256 on a CPU, 4,096 elsewhere, where it is not given). ``optimism``
    moves the logits of the policy by that share towards the optimistic head that networks have since version 12
    (KataGo's ``policyOptimism``, whose default is 1, and 0.2 at the root of a search); earlier ones have none.
    """

    def __init__(
        self,
        network: str | Path | NetworkFile,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        pad_to: int | None = None,
        max_batch: int | None = None,
        optimism: float = 0.0,
    ) -> None:
        self.file = network if isinstance(network, NetworkFile) else read_network(network)
        self.dtype, self.device, self.pad_to, self.optimism = dtype, torch.device(device), pad_to, optimism
        self.max_batch = max_batch or (CPU_BATCH if self.device.type == "cpu" else DEVICE_BATCH)
        self.good_batch = GOOD_BATCH
        self.network = Network(self.file).to(device=self.device, dtype=dtype).eval()
        if can_pack(self.device, dtype):
            self.network.pack()

    def evaluate(
        self,
        games: Games,
        rows: Rows = None,
        *,
        symmetry: int | NDArray[np.int64] = 0,
        draw_equivalent_wins: float = 0.5,
        conservative_pass: bool = False,
        playout_doubling: float = 0.0,
        inputs: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    ) -> Evaluation:
        """The network's view of the chosen games, for the side to move.

        ``symmetry`` (0 to 7, one for all or one each) is undone in what comes back. The other settings are those of
        :func:`~toulmin.go.nets.features.input_features`; ``inputs`` is what it gave for these games, where the caller
        has it already (a symmetry transforms them in place). Raises :class:`FaultError` (``go.net-numbers``, exit code
            NUMERICAL)
        where the network answers with NaN or infinity.
        """
        chosen = games._rows(rows)
        legal = games.legal(chosen)
        if inputs is None:
            inputs = input_features(
                games,
                chosen,
                draw_equivalent_wins=draw_equivalent_wins,
                conservative_pass=conservative_pass,
                playout_doubling=playout_doubling,
                pass_alive_with_suicide=self.file.pass_alive_with_suicide,
                pad_to=self.pad_to,
                threads=torch.get_num_threads(),
            )
        planes, numbers = inputs
        symmetries = np.broadcast_to(np.asarray(symmetry, np.int64), chosen.shape)
        turned = bool(symmetries.any())
        if turned:
            _turn(planes, games.size, symmetries)
        parts = [
            self._outputs(planes[i : i + self.max_batch], numbers[i : i + self.max_batch], games.size)
            for i in range(0, len(chosen), self.max_batch)
        ]
        if not parts:
            return Evaluation.uniform(games, chosen)
        points, passes, value, score, owner = (np.concatenate(p) for p in zip(*parts, strict=True))
        if turned:
            back = np.argsort(_orders(games.size), axis=1)[symmetries]
            points, owner = np.take_along_axis(points, back, 1), np.take_along_axis(owner, back, 1)
        return self._scale(games, chosen, legal, np.column_stack([points, passes]), value, score, owner)

    def _outputs(
        self, planes: NDArray[np.float32], numbers: NDArray[np.float32], size: int
    ) -> list[NDArray[np.float64]]:
        """The network's raw outputs, the board's points in one row each."""
        with torch.inference_mode():
            x = torch.from_numpy(planes).permute(0, 3, 1, 2).to(self.device, self.dtype)
            exact = torch.float64 if self.dtype == torch.float64 else torch.float32
            area = torch.full((len(planes), 1), float(size * size), device=self.device, dtype=exact)
            mask = x[:, :1] if planes.shape[1] > size else None
            heads: Heads = self.network(x, torch.from_numpy(numbers).to(self.device, self.dtype), Extent.of(area, mask))
            policy, passes = self._policy(heads.policy), self._policy(heads.pass_policy)
            points = policy[:, :size, :size].reshape(len(planes), -1)
            owner = heads.ownership[:, :size, :size].reshape(len(planes), -1)
            outputs = (points, passes, heads.value, heads.score, owner)
            return [o.to("cpu", torch.float64).numpy() for o in outputs]

    def _policy(self, kinds: torch.Tensor) -> torch.Tensor:
        """The policy of all kinds of it that the network gives, on the second axis."""
        if not self.optimism or kinds.shape[1] < 2:
            return kinds[:, 0]
        return torch.lerp(kinds[:, 0], kinds[:, 1], self.optimism)

    def _scale(
        self,
        games: Games,
        chosen: NDArray[np.int64],
        legal: NDArray[np.bool_],
        logits: NDArray[np.float64],
        value: NDArray[np.float64],
        score: NDArray[np.float64],
        owner: NDArray[np.float64],
    ) -> Evaluation:
        if not all(np.isfinite(o).all() for o in (logits, value, score, owner)):
            fault = Fault("go.net-numbers", f"network {self.file.name} answers with NaN or infinity")
            raise FaultError(fault, ExitCode.NUMERICAL)
        m, scales = games.meta[chosen], self.file.scales
        logits = np.where(legal, logits, -np.inf)
        value = value.copy()
        voidable = (m[:, turns.R_KO] == turns.SIMPLE) | (m[:, turns.R_SCORING] == turns.TERRITORY)
        value[~voidable, 2] = -np.inf
        win, loss, no_result = _softmax(value).T
        settled = 1 - no_result
        mean, lead = score[:, 0] * scales.score_mean, score[:, 2] * scales.lead
        spread = np.logaddexp(0, score[:, 1]) * scales.score_stdev
        square = (mean**2 + spread**2) * settled  # no result counts as a score of 0
        mean = mean * settled
        return Evaluation(
            policy=_softmax(logits).astype(np.float32),
            logits=logits.astype(np.float32),
            win=win.astype(np.float32),
            loss=loss.astype(np.float32),
            no_result=no_result.astype(np.float32),
            lead=(lead * settled).astype(np.float32),
            score_mean=mean.astype(np.float32),
            score_stdev=np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32),
            ownership=np.tanh(owner).reshape(len(owner), games.size, games.size).astype(np.float32),
        )


def _turn(planes: NDArray[np.float32], size: int, symmetries: NDArray[np.int64]) -> None:
    """Transform the board's part of each position's planes, in place."""
    orders = _orders(size)
    for i in np.flatnonzero(symmetries):
        square = planes[i, :size, :size].reshape(size * size, -1)
        planes[i, :size, :size] = square[orders[symmetries[i]]].reshape(size, size, -1)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of each row; a row without any finite logit (a finished game) is all zero."""
    top = logits.max(axis=1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(top), top, 0))
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, 1)
