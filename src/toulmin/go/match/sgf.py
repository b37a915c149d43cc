"""Games of a match as SGF text: rules, komi, both scores, visits, passing behaviour, and the players' estimates."""

from __future__ import annotations

from toulmin.go.engine.points import action_of
from toulmin.go.engine.rules import Rules
from toulmin.go.match.game_record import GameRecord


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("]", "\\]")


def _point(vertex: str, size: int) -> str:
    action = action_of(vertex, size)
    if action == size * size:
        return ""
    row, column = divmod(action, size)
    return f"{chr(97 + column)}{chr(97 + row)}"


def sgf_of(record: GameRecord) -> bytes:
    """One game tree in SGF (FF 4), UTF-8; RE is the result under the rules, and the first comment gives both scores."""
    rules = Rules(**record.rules, komi=record.komi)
    comment = (
        f"Black minus White: {record.score_area:+g} Tromp-Taylor, {record.score_rules:+g} under the rules. "
        f"Ended by {record.ending}{': ' + record.reason if record.reason else ''}. "
        f"Visits {record.visits[0]} and {record.visits[1]}; passing {record.passing[0]} and {record.passing[1]}. "
        f"The first {record.opening} moves were given."
    )
    header = {
        "GM": "1",
        "FF": "4",
        "CA": "UTF-8",
        "SZ": str(record.size),
        "PB": record.black,
        "PW": record.white,
        "KM": f"{record.komi:g}",
        "RU": rules.compact(),
        "RE": record.result,
        "C": comment,
    }
    root = "".join(f"{name}[{_escaped(value)}]" for name, value in header.items())
    root += "PL[W]" if record.first == "w" else ""
    for name, stones in (("AB", record.black_stones), ("AW", record.white_stones)):
        root += name + "".join(f"[{_point(vertex, record.size)}]" for vertex in stones) if stones else ""
    nodes = [";" + root]
    for number, vertex in enumerate(record.moves):
        colour = record.mover(number).upper()
        thought = [
            f"{name}: Black wins {values[number]:.2f}"
            for name, values in record.estimates.items()
            if values[number] is not None
        ]
        note = f"C[{_escaped('; '.join(thought))}]" if thought else ""
        nodes.append(f";{colour}[{_point(vertex, record.size)}]{note}")
    return ("(" + "\n".join(nodes) + ")\n").encode()
