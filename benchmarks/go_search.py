"""MCTS visits per CPU-second against KataGo's own search, on the same positions, with the visit counts compared.

    python benchmarks/go_search.py --net NET.bin.gz [--katago PATH/katago] [--sizes 9 19] [--games 32] [--visits 100]
                                   [--repeats 2] [--golden OUT.json]

Positions are drawn from the net's own policy. KataGo (one search thread, Eigen backend, no tree or cache carried from
one position to the next) searches each of them twice: as ``genmove`` with its own defaults, and with its later
additions switched off (and its cache of evaluations, which takes transpositions for the same position although the
net sees the last moves): that is the search ``toulmin.go.search.mcts`` does, and its visit counts must be equal. Ours
runs one game at a time, and 16 and all games at once. CPU seconds are those of the process, on one thread; everything
is run ``--repeats`` times, the programs in turn, and the least counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from toulmin.go import Games, Rules
from toulmin.go.engine.points import action_of, vertex_of
from toulmin.go.gtp.client import Engine
from toulmin.go.nets import Evaluator
from toulmin.go.search.choice import sample
from toulmin.go.search.mcts import Searched, search
from toulmin.go.search.settings import SearchSettings

KOMI = 7.5
COMMON = """
logAllGTPCommunication = false
logSearchInfo = false
logToStderr = false
rules = tromp-taylor
reportAnalysisWinratesAs = WHITE
numSearchThreads = 1
ponderingEnabled = false
lagBuffer = 0
allowResignation = false
resignThreshold = -0.99
resignConsecTurns = 30
"""
PLAIN = """
nnCacheSizePowerOfTwo = -1
nnRandomize = false
searchRandSeed = 1
chosenMoveTemperatureEarly = 0
chosenMoveTemperature = 0
chosenMoveSubtract = 0
chosenMovePrune = 0
useLcbForSelection = false
staticScoreUtilityFactor = 0.10
dynamicScoreUtilityFactor = 0.30
dynamicScoreCenterZeroWeight = 0.20
dynamicScoreCenterScale = 0.75
cpuctExploration = 1.05
cpuctExplorationLog = 0.28
cpuctUtilityStdevScale = 0
fpuReductionMax = 0.2
rootFpuReductionMax = 0.1
fpuParentWeightByVisitedPolicy = false
useUncertainty = false
rootPolicyOptimism = 0
policyOptimism = 0
valueWeightExponent = 0
rootEndingBonusPoints = 0
rootPruneUselessMoves = false
subtreeValueBiasFactor = 0
useGraphSearch = false
useNoisePruning = false
rootNumSymmetriesToSample = 1
rootSymmetryPruning = false
conservativePass = false
enablePassingHacks = false
"""

DEFAULTS = """
nnCacheSizePowerOfTwo = 16
"""


def draw_positions(evaluator: Evaluator, size: int, count: int, seed: int = 0) -> list[list[str]]:
    """Move lists of ``count`` positions, from the empty board to three quarters of the area, by the net's policy."""
    generator = np.random.default_rng(seed)
    lengths = np.linspace(0, 0.75 * size * size, count).astype(int)
    games = Games(count, size, Rules(komi=KOMI))
    for step in range(int(lengths.max())):
        rows = np.flatnonzero((lengths > step) & ~games.finished)
        if len(rows):
            policy = evaluator.evaluate(games, rows).policy.astype(np.float64)
            games.play([sample(row, 1.0, generator) for row in policy], rows)
    found = [[vertex_of(action, size) for _, action in games.history(row)] for row in range(count)]
    over = games.finished
    return [moves[:-1] if over[row] else moves for row, moves in enumerate(found)]


def cpu_seconds(process: int) -> float:
    """User and system seconds of another process (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def parse_analysis(text: str) -> dict[str, dict[str, float]]:
    """Visits and utility of each move, from the answer of ``kata-search_analyze``."""
    found: dict[str, dict[str, float]] = {}
    for part in text.replace("\n", " ").split("info ")[1:]:
        words = part.split()
        values = dict(zip(words[::2], words[1::2], strict=False))
        if "visits" in values:
            found[values["move"]] = {"visits": int(values["visits"]), "utility": float(values["utility"])}
    return found


def run_katago(
    program: str, net: str, positions: list[list[str]], size: int, visits: int, *, plain: bool
) -> tuple[float, list[dict[str, dict[str, float]]]]:
    """CPU seconds of KataGo's searches, and what each found (empty for ``genmove``)."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gtp.cfg"
        config.write_text(f"{COMMON}{PLAIN if plain else DEFAULTS}maxVisits = {visits}\n")
        with Engine([program, "gtp", "-model", net, "-config", str(config)], timeout=300) as engine:
            engine.start_game(size, KOMI)
            process, seconds, found = engine._process.pid, 0.0, []
            for moves in positions:
                engine.send("clear_board")
                engine.send("clear_cache")
                for number, move in enumerate(moves):
                    engine.send("play", "bw"[number % 2], move)
                colour = "bw"[len(moves) % 2]
                before = cpu_seconds(process)
                text = engine.send("kata-search_analyze" if plain else "genmove", colour)
                seconds += cpu_seconds(process) - before
                found.append(parse_analysis(text) if plain else {})
            return seconds, found


def run_ours(
    evaluator: Evaluator, positions: list[list[str]], size: int, visits: int, group: int
) -> tuple[float, list[Searched]]:
    """CPU seconds of our searches with ``group`` games at a time, and what they found."""
    games = Games(len(positions), size, Rules(komi=KOMI))
    for row, moves in enumerate(positions):
        for move in moves:
            games.play([action_of(move, size)], [row])
    settings, found = SearchSettings(visits=visits), []
    before = time.process_time()
    for start in range(0, len(positions), group):
        rows = np.arange(start, min(start + group, len(positions)))
        found.append(search(games, rows, evaluator, settings, [np.random.default_rng(0)] * len(rows)))
    return time.process_time() - before, found


def compare(searched: list[Searched], found: list[dict[str, dict[str, float]]], size: int) -> tuple[int, float]:
    """How many positions have equal visits at every move, and the largest difference in a move's utility there."""
    same, largest = 0, 0.0
    visits = np.concatenate([one.visits for one in searched])
    means = np.concatenate([one.means for one in searched])
    for row, theirs in enumerate(found):
        ours = {vertex_of(int(a), size): int(visits[row, a]) for a in np.flatnonzero(visits[row])}
        if ours != {move: int(values["visits"]) for move, values in theirs.items()}:
            continue
        same += 1
        for move, values in theirs.items():
            # KataGo reports utilities for White
            largest = max(largest, abs(-means[row, action_of(move, size)] - values["utility"]))
    return same, largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", required=True)
    parser.add_argument("--katago")
    parser.add_argument("--sizes", type=int, nargs="+", default=[9, 19])
    parser.add_argument("--games", type=int, default=32)
    parser.add_argument("--visits", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--golden", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    evaluator = Evaluator(given.net)
    golden = []
    for size in given.sizes:
        positions = draw_positions(evaluator, size, given.games)
        run_ours(evaluator, positions[:2], size, 3, 2)  # compile
        total = given.visits * len(positions)
        groups = sorted({1, min(16, len(positions)), len(positions)})
        seconds: dict[str, list[float]] = {}
        searched, found = [], []
        for _ in range(given.repeats):
            for group in groups:
                spent, searched = run_ours(evaluator, positions, size, given.visits, group)
                seconds.setdefault(f"ours, {group} at once", []).append(spent)
            for name, plain in (("KataGo, genmove", False), ("KataGo, additions off", True)) if given.katago else ():
                spent, found = run_katago(given.katago, given.net, positions, size, given.visits, plain=plain)
                seconds.setdefault(name, []).append(spent)
        print(f"{size}x{size}, {given.visits} visits a move, {len(positions)} positions, one thread")
        for name, spent in seconds.items():
            print(f"  {name:22s} {total / min(spent):8.1f} visits per CPU-second", flush=True)
        if not given.katago:
            continue
        for group in groups:
            mine = min(seconds[f"ours, {group} at once"])
            ratios = (min(seconds[name]) / mine for name in ("KataGo, genmove", "KataGo, additions off"))
            print(f"  ours, {group} at once / KataGo:", *(f"{ratio:.2f}" for ratio in ratios))
        same, largest = compare(searched, found, size)
        print(
            f"  equal visit counts at every move: {same} of {len(positions)}; utilities differ by {largest:.1e} at most"
        )
        golden += [
            {"size": size, "komi": KOMI, "moves": moves, "visits": {m: int(v["visits"]) for m, v in one.items()}}
            for moves, one in zip(positions, found, strict=True)
        ]
    if given.golden:
        text = ",\n".join(json.dumps(one) for one in golden)
        given.golden.write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
