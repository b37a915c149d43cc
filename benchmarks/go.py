"""Raw evaluations and random playouts per CPU-second, beside KataGo's Eigen backend and open_spiel.

    python benchmarks/go.py --net NET.bin.gz [--katago PATH/katago] [--spiel PEER/bin/python] [--positions 64]
                            [--sizes 9 19] [--batches 1 8 32 64] [--types float32 bfloat16] [--threads 1 2]

Evaluations include the input features, ladders among them, computed anew for every position. KataGo (analysis mode, one
visit a position, one Eigen thread) evaluates the same positions in the same run; what it spends before the first four
is subtracted. It draws a symmetry for each position, so that its win estimates are near ours and not equal (equality
is tested on golden outputs without one); the largest difference is printed. Everything is in CPU seconds of the
process, not of the clock. open_spiel plays with its own C++ random bots.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from toulmin.go import Evaluator, Games, Rules, random_playouts, vertex_of
from toulmin.go.features import input_features

KOMI = 7.5
CONFIG = """
logToStderr = false
logAllRequests = false
logAllResponses = false
numAnalysisThreads = {threads}
numSearchThreadsPerAnalysisThread = 1
nnMaxBatchSize = 32
nnCacheSizePowerOfTwo = 16
nnMutexPoolSizePowerOfTwo = 8
numNNServerThreadsPerModel = 1
numEigenThreadsPerModel = 1
reportAnalysisWinratesAs = WHITE
nnRandomize = false
"""
WARM = 4


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


def cpu(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def evaluations(net: str, games: Games, kind: str, batch: int, threads: int) -> tuple[float, float]:
    """(evaluations per CPU-second, the share spent in features), the better of three runs."""
    torch.set_num_threads(threads)
    evaluator = Evaluator(net, dtype=getattr(torch, kind), max_batch=batch)
    rows = [np.arange(i, min(i + batch, games.batch)) for i in range(0, games.batch, batch)]
    evaluator.evaluate(fresh(games), rows[0])
    whole, features = [], []
    for _ in range(3):
        state = fresh(games)
        whole.append(cpu(lambda state=state: [evaluator.evaluate(state, r) for r in rows]))
        state = fresh(games)
        features.append(cpu(lambda state=state: [input_features(state, r) for r in rows]))
    return games.batch / min(whole), min(features) / min(whole)


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
        config.write(CONFIG.format(threads=threads))
        config.flush()

        def run(asked: list[str]) -> tuple[float, dict[int, float]]:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [binary, "analysis", "-model", net, "-config", config.name]
            done = subprocess.run(command, input="\n".join(asked) + "\n", capture_output=True, text=True, check=True)
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


def playouts(size: int, games: int, spiel: str | None) -> None:
    def play() -> int:
        batch = Games(games, size, Rules(suicide=False, komi=KOMI))
        random_playouts(batch, 1, max_moves=2 * size * size)
        return int(batch.move_count.sum())

    play()
    seconds, moves = [], 0
    for _ in range(3):
        start = time.process_time()
        moves = play()
        seconds.append(time.process_time() - start)
    ours = games / min(seconds)
    print(f"playouts {size}x{size}: {ours:.0f} per CPU-second, {moves / games:.0f} moves each", flush=True)
    if spiel:
        worker = Path(__file__).parent / "peers/open_spiel/worker.py"
        best = {"cpu_seconds": np.inf, "games": games, "moves": 0}
        for seed in range(3):
            command = [spiel, str(worker), str(size), str(games), str(seed)]
            answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            best = min(best, answer, key=lambda a: a["cpu_seconds"])
        theirs = best["games"] / best["cpu_seconds"]
        print(f"  open_spiel: {theirs:.0f}, {best['moves'] / best['games']:.0f} moves each; ratio {ours / theirs:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", required=True)
    parser.add_argument("--katago")
    parser.add_argument("--spiel")
    parser.add_argument("--positions", type=int, default=64)
    parser.add_argument("--games", type=int, default=400)
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
                    rate, share = evaluations(given.net, games, kind, batch, threads)
                    print(
                        f"{size}x{size} {kind} batch {batch} threads {threads}: {rate:.0f} per CPU-second, "
                        f"{share:.0%} in features",
                        flush=True,
                    )
        if given.katago:
            rate, wins = katago(given.katago, given.net, games, threads=4)
            view = Evaluator(given.net).evaluate(fresh(games)).white(games.to_move)
            apart = np.abs(view.win + view.no_result / 2 - wins).max()
            print(
                f"  KataGo's Eigen backend: {rate:.0f} per CPU-second; win estimates differ by at most {apart:.1e}",
                flush=True,
            )
        playouts(size, given.games if size < 13 else given.games // 8, given.spiel)


if __name__ == "__main__":
    main()
