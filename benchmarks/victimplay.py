"""Attacks on a frozen victim: training games and evaluations per second, and where the time goes.

    python benchmarks/victimplay.py --net NET.bin.gz [--sizes 7 9] [--updates 2] [--processes 1 2] [--device cpu]
    python benchmarks/victimplay.py --net NET.bin.gz --lanes 4 --processes 1 2 --ray 2 --learners ppo amcts
    python benchmarks/victimplay.py --net NET.bin.gz --sizes 9 --threads 1 2 4

PPO trains an adversary from the victim's weights; A-MCTS plays games with 32 visits against the victim's raw policy.
Figures are per CPU-second of the process on a CPU, per second of the clock elsewhere. With ``--lanes`` a training run
of that many lanes is played by each number of processes in turn, and by ``--ray`` workers of a Ray cluster that is
started for it. The first update warms up (imports, kernels, games that all begin at once) and is not measured; of the
others stand what the clock says and what all processes spent, Ray's own daemons included.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from toulmin.adversary import AmctsSettings, Attack, VictimGames, ppo_step, train_adversary
from toulmin.go import (
    Evaluator,
    Games,
    PlayerSpec,
    PolicyModel,
    SearchSettings,
    TrainableNetwork,
    adversarial_search,
    input_features,
    make_player,
    read_network,
)
from toulmin.studies import Pool, ProcessPool, RayPool
from toulmin.training import State

KOMI = {7: 8.5, 8: 9.5}


def clock(device: str) -> Callable[[], float]:
    """CPU time where the work is done by this process, else the clock."""
    return time.process_time if device == "cpu" else time.perf_counter


def attack_on(net: str, size: int, decisions: int, slots: int) -> Attack:
    """The attack of the demonstration, on a board of ``size``."""
    victim = PlayerSpec.model_validate({"kind": "net", "net": f"file:{net}", "search": {"visits": 1}})
    return Attack.against(
        victim, size=size, komi=KOMI.get(size, 6.5), start=f"file:{net}", learner={"decisions": decisions}, slots=slots
    )


def ppo(net: str, size: int, updates: int, device: str, slots: int, decisions: int) -> dict[str, float]:
    """Training games, evaluations and the share of the learner, per second."""
    torch.set_num_threads(1)
    now = clock(device)
    attack = attack_on(net, size, decisions, slots)
    module = TrainableNetwork(read_network(net)).to(device)
    victim = make_player(attack.victim, lambda reference: reference.removeprefix("file:"), 0, device)
    stream = VictimGames(attack, lambda: Evaluator(module.export(), device=device, max_batch=4096), [victim])
    state = State(module, torch.optim.Adam(module.parameters(), lr=attack.learner.lr))
    step = ppo_step(attack.learner, torch.device(device), 0)
    step(state, next(stream))  # compiled and warm
    games, evaluations, playing, learning = stream.finished, stream.evaluations, 0.0, 0.0
    for _ in range(updates):
        start = now()
        batch = next(stream)
        middle = now()
        step(state, batch)
        playing, learning = playing + middle - start, learning + now() - middle
    total = playing + learning
    moves = float(np.mean([game.moves for game in stream.last]))
    return {
        "games/s, training": (stream.finished - games) / total,
        "games/s, playing only": (stream.finished - games) / playing,
        "evaluations/s, playing": 2 * (stream.evaluations - evaluations) / playing,
        "learner's share": learning / total,
        "moves a game": moves,
    }


def amcts(net: str, size: int, device: str, visits: int = 32, slots: int = 16, moves: int = 4) -> dict[str, float]:
    """Searched moves and evaluations per second, of both networks."""
    now = clock(device)
    evaluator = Evaluator(net, device=device, max_batch=4096)
    games = Games(slots, size)
    random = np.random.default_rng(0)
    for _ in range(6):
        games.play([random.choice(np.flatnonzero(row)[:-1]) for row in games.legal()])
    settings, counted, start = SearchSettings(visits=visits), 0, 0.0
    for move in range(moves + 1):
        if move == 1:
            start = now()
            counted = 0
        generators = [np.random.default_rng((move, row)) for row in range(slots)]
        found = adversarial_search(games, np.arange(slots), evaluator, PolicyModel(evaluator), settings, generators)
        games.play(found.visits.argmax(axis=1))
        counted += found.evaluations + slots * (visits - 1)
    spent = now() - start
    return {"moves/s": slots * moves / spent, "evaluations/s, both nets": counted / spent}


class AfterTheFirst:
    """The clock, the CPU seconds of all processes, games and evaluations from the end of the first update on."""

    every = 1

    def __init__(self) -> None:
        self.marks: list[tuple[float, float, float, float, float]] = []

    def on_start(self, state: State, steps: int) -> None:
        pass

    def on_step(self, state: State, metrics: Mapping[str, float]) -> None:
        counts = (float(metrics["games"]), float(metrics["evaluations"]))
        decisions = float(metrics["decisions"]) + (self.marks[-1][4] if self.marks else 0.0)
        self.marks.append((time.perf_counter(), tree_seconds(), *counts, decisions))

    def on_end(self, state: State) -> None:
        pass

    def rates(self) -> dict[str, float]:
        """Per second of the clock and per CPU-second of all processes."""
        first, last = np.array(self.marks[0]), np.array(self.marks[-1])
        seconds, spent, games, evaluations, decisions = (last - first).tolist()
        return {
            "games/s": games / seconds,
            "games per CPU-second": games / spent,
            "decisions per CPU-second": decisions / spent,
            "own evaluations per CPU-second": evaluations / spent,
            "CPU-seconds": spent,
            "seconds": seconds,
            "games": games,
        }


def in_lanes(net: str, size: int, given: argparse.Namespace, pool: Pool, method: str) -> dict[str, float]:
    """A training run in lanes on ``pool``: what the clock and what all processes spent after its first update."""
    attack = attack_on(net, size, given.decisions, given.slots)
    learner = attack.learner
    if method == "amcts":
        # as many minibatches a decision as by default
        batches = max(1, AmctsSettings().minibatches * given.decisions // AmctsSettings().decisions)
        learner = AmctsSettings(
            decisions=given.decisions, minibatches=batches, search=SearchSettings(visits=given.visits)
        )
    attack = attack.model_copy(update={"lanes": given.lanes, "updates": 1 + given.updates, "learner": learner})
    marks = AfterTheFirst()
    with tempfile.TemporaryDirectory() as folder:
        train_adversary(
            attack,
            Path(folder),
            lambda reference: reference.removeprefix("file:"),
            device=given.device,
            pool=pool,
            callbacks=[marks],
        )
    return marks.rates()


def tree_seconds() -> float:
    """CPU seconds of this process and of all that descend from it, those that have ended included (Linux)."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended
            continue
        fields = text.rpartition(")")[2].split()  # its name may hold blanks
        parents[int(stat.parent.name)] = int(fields[1])
        spent[int(stat.parent.name)] = sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def descends(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return sum(seconds for process, seconds in spent.items() if descends(process))


def raw(net: str, size: int, device: str, batch: int) -> dict[str, float]:
    """Evaluations and input features per second."""
    now = clock(device)
    evaluator, games = Evaluator(net, device=device, max_batch=4096), Games(batch, size)
    random = np.random.default_rng(0)
    for _ in range(size * 2):
        games.play([random.choice(np.flatnonzero(row)[:-1]) for row in games.legal()])
    evaluator.evaluate(games)
    start = now()
    evaluator.evaluate(games)
    middle = now()
    input_features(games)
    return {"evaluations/s": batch / (middle - start), "features/s": batch / (now() - middle)}


def features_by_threads(size: int, threads: int, batch: int = 2048, repeats: int = 10) -> dict[str, float]:
    """Input features of a large batch: per CPU-second of all threads, and per second of the clock."""
    games, random = Games(batch, size), np.random.default_rng(0)
    for _ in range(size * 2):
        games.play([random.choice(np.flatnonzero(row)[:-1]) for row in games.legal()])
    input_features(games, threads=threads)
    spent, begun = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        input_features(games, threads=threads)
    spent, seconds = time.process_time() - spent, time.perf_counter() - begun
    return {"features per CPU-second": batch * repeats / spent, "features/s": batch * repeats / seconds}


def main() -> None:
    """Measure and print a table of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[7, 9])
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--decisions", type=int, default=1024)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--processes", type=int, nargs="*", default=[1])
    parser.add_argument("--lanes", type=int, default=0)
    parser.add_argument("--ray", type=int, nargs="*", default=[], help="numbers of Ray workers, with --lanes")
    parser.add_argument("--learners", nargs="+", choices=("ppo", "amcts"), default=["ppo", "amcts"])
    parser.add_argument("--visits", type=int, default=32, help="of A-MCTS with --lanes")
    parser.add_argument("--threads", type=int, nargs="*", default=[], help="time input features by threads alone")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for size in given.sizes:
        for threads in given.threads:
            text = ", ".join(f"{k} {v:.4g}" for k, v in features_by_threads(size, threads).items())
            print(f"{size}x{size} features, {threads} threads: {text}", flush=True)
        if given.threads:
            continue
        for name, found in (
            ()
            if given.lanes
            else (
                ("raw", raw(given.net, size, given.device, given.slots)),
                ("A-MCTS, 32 visits", amcts(given.net, size, given.device)),
            )
        ):
            print(f"{size}x{size} {name}: " + ", ".join(f"{k} {v:.4g}" for k, v in found.items()), flush=True)
        pools = [
            *((f"{count} processes", ProcessPool(count) if count > 1 else Pool()) for count in given.processes),
            *((f"{count} Ray workers", RayPool(count)) for count in given.ray),
        ]
        for workers, pool in pools if given.lanes else ():
            for method in given.learners:
                found = in_lanes(given.net, size, given, pool, method)
                text = ", ".join(f"{k} {v:.4g}" for k, v in found.items())
                print(f"{size}x{size} {method}, {given.lanes} lanes, {workers}: {text}", flush=True)
        for processes in () if given.lanes else given.processes:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                task = (given.net, size, given.updates, given.device, given.slots, given.decisions)
                results = [one.result() for one in [pool.submit(ppo, *task) for _ in range(processes)]]
            for number, found in enumerate(results):
                text = ", ".join(f"{k} {v:.4g}" for k, v in found.items())
                print(f"{size}x{size} PPO, process {number + 1} of {processes}: {text}", flush=True)


if __name__ == "__main__":
    main()
