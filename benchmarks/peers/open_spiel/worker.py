"""Uniformly random games of open_spiel's Go, played by its own C++ bots; prints one JSON line.

Run by benchmarks/go.py with the Python of an environment made from requirements.txt.
"""

from __future__ import annotations

import json
import sys
import time

import pyspiel


def main(size: int, games: int, seed: int) -> None:
    game = pyspiel.load_game(f"go(board_size={size},komi=7.5)")
    bots = [pyspiel.make_uniform_random_bot(player, seed + player) for player in range(2)]
    moves = 0
    start = time.process_time()
    for number in range(games):
        state = game.new_initial_state()
        pyspiel.evaluate_bots(state, bots, seed + number)
        moves += state.move_number()
    seconds = time.process_time() - start
    print(json.dumps({"games": games, "moves": moves, "cpu_seconds": seconds}))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
