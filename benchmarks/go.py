"""Raw evaluations and random playouts per CPU-second, beside KataGo's Eigen backend and open_spiel.

    python benchmarks/go.py --net NET.bin.gz [--katago PATH/katago] [--spiel PEER/bin/python] [--positions 64]
                            [--sizes 9 19] [--batches 1 8 32 64] [--types float32 bfloat16] [--threads 1 2]
                            [--repeats 3] [--peer-batch 32]

Evaluations include the input features, ladders among them, computed anew for every position. KataGo (analysis mode, one
visit a position, one Eigen thread, buffers of the board's size, no symmetry) evaluates the same positions in the same
run; what it spends before the first four is subtracted. The largest difference between its win estimates and ours is
printed. Everything is in CPU seconds of the process; rates by the clock are printed too. open_spiel plays with its
own C++ random bots. ``OMP_WAIT_POLICY=passive`` keeps two threads from burning CPU seconds while they wait for each
other.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toulmin.go import Evaluator, Games, Rules, random_playouts, vertex_of
from toulmin.go.nets.features import input_features

KOMI = 7.5
CONFIG = """
logToStderr = false
logAllRequests = false
logAllResponses = false
numAnalysisThreads = {threads}
numSearchThreadsPerAnalysisThread = 1
nnMaxBatchSize = {threads}
nnCacheSizePowerOfTwo = 16
nnMutexPoolSizePowerOfTwo = 8
numNNServerThreadsPerModel = 1
numEigenThreadsPerModel = 1
reportAnalysisWinratesAs = WHITE
nnRandomize = false
ignorePreRootHistory = false
analysisIgnorePreRootHistory = false
conservativePass = false
maxBoardXSizeForNNBuffer = {size}
maxBoardYSizeForNNBuffer = {size}
"""
WARM = 4
TOLD: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 1800.0}


def positions(size: int, count: int) -> Games:
    """Middle-game positions of random games, none over."""
    rng = np.random.default_rng(size)
    games = Games(count, size, Rules(komi=KOMI))
    for _ in range(size * size // 3):
        legal = games.legal()
        legal[:, -1] = False
        games.play([rng.choice(np.flatnonzero(row)) for row in legal])
    return games


def fresh(games: Games) -> Games:
    """The same positions, with nothing known of their ladders."""
    copy = Games(games.batch, games.size, Rules(komi=KOMI))
    longest = int(games.move_count.max())
    moves = np.array([[a for _, a in games.history(b)] for b in range(games.batch)])
    for turn in range(longest):
        copy.play(moves[:, turn])
    return copy


def cpu(work) -> tuple[float, float]:
    """CPU seconds of the process, and seconds of the clock."""
    clock, start = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - start, time.perf_counter() - clock


def evaluations(
    net: str, games: Games, kind: str, batch: int, threads: int, runs: int = 3
) -> tuple[float, float, float]:
    """(evaluations per CPU-second, per second, the share spent in features), each the best of ``runs``."""
    torch.set_num_threads(threads)
    evaluator = Evaluator(net, dtype=getattr(torch, kind), max_batch=batch)
    rows = [np.arange(i, min(i + batch, games.batch)) for i in range(0, games.batch, batch)]
    evaluator.evaluate(fresh(games), rows[0])
    whole, features = [], []
    for _ in range(runs):
        state = fresh(games)
        whole.append(cpu(lambda state=state: [evaluator.evaluate(state, r) for r in rows]))
        state = fresh(games)
        features.append(cpu(lambda state=state: [input_features(state, r) for r in rows])[0])
    seconds, clock = (min(column) for column in zip(*whole, strict=True))
    return games.batch / seconds, games.batch / clock, min(features) / seconds


def katago(binary: str, net: str, games: Games, threads: int) -> tuple[float, list[float]]:
    """(evaluations per CPU-second, White's win estimate at every position)."""
    queries = [
        json.dumps(
            {
                "id": str(b),
                "moves": [["BW"[c - 1], vertex_of(a, games.size)] for c, a in games.history(b)],
                "rules": "tromp-taylor",
                "komi": KOMI,
                "boardXSize": games.size,
                "boardYSize": games.size,
                "maxVisits": 1,
            }
        )
        for b in range(games.batch)
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(CONFIG.format(threads=threads, size=games.size))
        config.flush()

        def run(asked: list[str]) -> tuple[float, dict[int, float]]:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [binary, "analysis", "-model", net, "-config", config.name]
            done = subprocess.run(command, input="\n".join(asked) + "\n", check=True, **TOLD)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            problems = [a["error"] for a in answers if "error" in a]
            if problems:
                raise SystemExit(f"KataGo refuses: {problems[0]}")
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return seconds, {int(a["id"]): a["rootInfo"].get("rawWinrate", a["rootInfo"]["winrate"]) for a in answers}

        start, _ = run(queries[:WARM])
        seconds, wins = run(queries)
    return (games.batch - WARM) / (seconds - start), [wins[b] for b in range(games.batch)]


def playouts(size: int, games: int, spiel: str | None, repeats: int) -> None:
    def play(seed: int) -> int:
        batch = Games(games, size, Rules(suicide=False, komi=7.5))
        random_playouts(batch, seed, max_moves=2 * size * size)
        return int(batch.move_count.sum())

    play(0)
    moves, ours, theirs, length = 0, 0.0, 0.0, 0.0
    worker = Path(__file__).parent / "peers/open_spiel/worker.py"
    for seed in range(repeats):  # in turn: a shared machine is not the same from one minute to the next
        for again in range(3):
            start = time.process_time()
            moves = play(3 * seed + again)
            ours = max(ours, games / (time.process_time() - start))
        if spiel:
            command = [spiel, str(worker), str(size), str(games), str(seed)]
            answer = json.loads(subprocess.run(command, check=True, **TOLD).stdout)
            theirs, length = max(theirs, games / answer["cpu_seconds"]), answer["moves"] / games
    print(f"playouts {size}x{size}: {ours:.0f} per CPU-second, {moves / games:.0f} moves each", flush=True)
    if spiel:
        print(f"  open_spiel: {theirs:.0f}, {length:.0f} moves each; ratio {ours / theirs:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", required=True)
    parser.add_argument("--katago")
    parser.add_argument("--spiel")
    parser.add_argument("--positions", type=int, default=64)
    parser.add_argument("--games", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3, help="of which the best counts, ours and the peer's in turn")
    parser.add_argument("--peer-batch", type=int, default=32, help="batch of both where KataGo is compared")
    parser.add_argument("--sizes", type=int, nargs="+", default=[9, 19])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--types", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    for size in given.sizes:
        games = positions(size, given.positions)
        for threads in given.threads:
            for kind in given.types:
                for batch in given.batches:
                    rate, clock, share = evaluations(given.net, games, kind, batch, threads)
                    print(
                        f"{size}x{size} {kind} batch {batch} threads {threads}: {rate:.0f} per CPU-second "
                        f"({clock:.0f} a second), {share:.1%} in features",
                        flush=True,
                    )
        if given.katago:
            rate, rates, wins = 0.0, [0.0], [0.0]
            for _ in range(given.repeats):  # in turn, and as many of each
                theirs, wins = katago(given.katago, given.net, games, threads=given.peer_batch)
                rate = max(rate, theirs)
                rates.append(evaluations(given.net, games, "float32", given.peer_batch, 1, runs=1)[0])
            view = Evaluator(given.net).evaluate(fresh(games)).white(games.to_move)
            apart = np.abs(view.win + view.no_result / 2 - wins).max()
            print(
                f"  KataGo's Eigen backend: {rate:.0f} per CPU-second; ours (float32, {given.peer_batch}, one thread): "
                f"{max(rates):.0f}, ratio {max(rates) / rate:.2f}; win estimates differ by at most {apart:.1e}",
                flush=True,
            )
        playouts(size, given.games if size < 13 else given.games // 8, given.spiel, 2 * given.repeats)


if __name__ == "__main__":
    main()
