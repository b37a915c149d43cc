"""``toulmin go``: our players in any Go program, matches, and games to replay in a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toulmin.cli.output import JSON_OPTION, STORE_OPTION, print_evidence, print_json, print_table
from toulmin.faults import Fault, FaultError, faults_of_validation

if TYPE_CHECKING:
    from toulmin.go import PlayerSpec

app = typer.Typer(help="Go: players over GTP, matches, and games to replay.", no_args_is_help=True)

PLAYER_HELP = (
    "random, edge, spiral, mirror, pass, corner, rollouts[@VISITS], policy:NET, net:NET[@VISITS], "
    "amcts:NET[@VISITS],victim=NET[,variant=S|S++|R] or gtp:COMMAND; "
    "NET is a KataGo model file or a reference. Settings of one player follow after commas: name=TEXT, "
    "passing=BEHAVIOUR, temperature=EARLY[-LATE], visits=N, device=DEVICE."
)
RULES_OPTION = typer.Option("tromp-taylor", help="tromp-taylor, chinese, japanese, ... or KataGo's compact form.")
SIZE_OPTION = typer.Option(9, min=2, max=19, help="Lines of the board.")
KOMI_OPTION = typer.Option(7.5, help="Points for White.")
PASSING_OPTION = typer.Option(
    "standard",
    help="When players that evaluate may pass: standard, last_resort, avoid_pass_alive, only_when_ahead, "
    "only_when_behind.",
)


def _spec(text: str, passing: str) -> PlayerSpec:
    from pydantic import ValidationError

    from toulmin.go import PlayerSpec, find_player_kind, parse_player

    spec = parse_player(text)
    given = passing == "standard" or spec.passing != "standard"  # a player's own setting comes first
    if given or not find_player_kind(spec.kind).evaluates:
        return spec
    try:
        return PlayerSpec.model_validate({**spec.model_dump(), "passing": passing})
    except ValidationError as error:
        raise FaultError(faults_of_validation(error, "go.player")) from None


@app.command()
def gtp(
    player: str = typer.Argument(..., help=PLAYER_HELP),
    size: int = SIZE_OPTION,
    komi: float = KOMI_OPTION,
    rules: str = RULES_OPTION,
    passing: str = PASSING_OPTION,
    seed: int = typer.Option(0, help="Seed of the player's random numbers."),
    device: str = typer.Option("cpu", help="Where the net is evaluated."),
) -> None:
    """Play as a GTP engine on standard input and output, for any graphical board or tournament program."""
    from toulmin.go import GtpServer, Rules, make_player
    from toulmin.studies import Resolver

    parsed = Rules.parse(rules, komi=komi)
    resolver = Resolver()
    made = make_player(_spec(player, passing), lambda net: str(resolver.locate(net)), seed, device)
    try:
        GtpServer(made, parsed, size, seed).serve(sys.stdin, sys.stdout)
    finally:
        made.close()


@app.command()
def analysis(
    player: str = typer.Argument(..., help="A player that searches: net:NET[@VISITS] or rollouts[@VISITS]."),
    seed: int = typer.Option(0, help="Seed of the searches."),
    device: str = typer.Option("cpu", help="Where the net is evaluated."),
) -> None:
    """Answer KataGo's JSON analysis protocol: one query a line on standard input, one answer a line."""
    from toulmin.go import AnalysisServer, SearchPlayer, make_player
    from toulmin.studies import Resolver

    resolver, spec = Resolver(), _spec(player, "standard")
    made = make_player(spec, lambda net: str(resolver.locate(net)), seed, device)
    if not isinstance(made, SearchPlayer):
        raise FaultError(Fault("go.player", "analysis needs a player that searches", name=player))
    AnalysisServer(made.evaluator, made.settings, seed).serve(sys.stdin, sys.stdout)


@app.command()
def match(
    players: list[str] = typer.Argument(..., help=f"Two or more players: {PLAYER_HELP}"),
    games: int = typer.Option(20, min=2, help="Games a pairing, an even number."),
    size: int = SIZE_OPTION,
    komi: float = KOMI_OPTION,
    rules: str = RULES_OPTION,
    passing: str = PASSING_OPTION,
    round_robin: bool = typer.Option(False, "--round-robin", help="Everybody against everybody, not the first only."),
    opening_moves: int = typer.Option(2, min=0, help="Random moves at the start of each game."),
    positions: str | None = typer.Option(
        None, help="SGF file (or reference) whose games are the starting positions: set-up stones, PL, moves."
    ),
    parallel: int = typer.Option(8, min=1, help="Games played in lockstep; one that ends is replaced by the next."),
    processes: int = typer.Option(1, min=1, help="Processes, each playing a group of games."),
    shown: int = typer.Option(2, min=0, help="Games of each pairing kept for replay."),
    seed: int = typer.Option(0, help="Seed of the run."),
    threads: int = typer.Option(1, min=1, help="Threads of tensor operations."),
    device: str = typer.Option("cpu", help="Where nets are evaluated, for players without a device of their own."),
    store: Path = STORE_OPTION,
    html: Path | None = typer.Option(None, "--html", help="Also write a page with the tables and the games."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Play a match and keep it as evidence; a match that was stopped goes on where it was."""
    from pydantic import ValidationError

    from toulmin.cli.progress import BarProgress
    from toulmin.evidence import Store
    from toulmin.go import Match
    from toulmin.studies import Pool, ProcessPool, Resolver, Run, execute

    try:
        study = Match(
            size=size,
            rules=rules,
            komi=komi,
            players=tuple(_spec(text, passing) for text in players),
            schedule="round_robin" if round_robin else "first_against_rest",
            games=games,
            opening_moves=opening_moves,
            positions=positions if positions is None or ":" in positions else f"file:{positions}",
            parallel=parallel,
            shown=shown,
        )
    except ValidationError as error:
        raise FaultError(faults_of_validation(error, "go.match")) from None
    kept = Store(store)
    pool = ProcessPool(processes) if processes > 1 else Pool()
    run = Run(Path(store) / "work", BarProgress(), pool, threads=threads, device=device, seed=seed)
    evidence = execute(study.at(Resolver(store=kept)), kept, run)
    if html is not None:
        from toulmin.report import render_evidence

        html.write_text(render_evidence(evidence), encoding="utf-8")
    if as_json:
        print_json(evidence.model_dump(mode="json"))
        return
    print_evidence(evidence)
    pairings = evidence.tables[0]
    print_table(pairings.title, pairings.columns, pairings.rows)
    typer.echo(f"kept in {kept.folder(evidence)}" + (f"; page: {html}" if html else ""))


@app.command()
def replay(
    sgf: list[Path] = typer.Argument(..., help="SGF files; collections too. All games on one size of board."),
    html: Path = typer.Option(..., "--html", help="The page to write."),
    net: str | None = typer.Option(None, help="A KataGo model file or reference: adds win estimates and ownership."),
    ownership_every: int = typer.Option(4, min=1, help="Moves between two ownership maps."),
    most: int = typer.Option(50, min=1, help="Games at most, from the first."),
    device: str = typer.Option("cpu", help="Where the net is evaluated."),
) -> None:
    """Write a page that replays games: board, both scores, the net's estimates and ownership, keyboard."""
    from toulmin.go import board_of_files
    from toulmin.report import render_figure
    from toulmin.studies import Resolver

    located: str | None = None
    if net is not None:
        located = str(Resolver().locate(net if ":" in net else f"file:{net}"))
    board = board_of_files(sgf, net=located, ownership_every=ownership_every, most=most, device=device)
    html.write_text(render_figure(board), encoding="utf-8")
    typer.echo(f"{len(board.games)} games: {html}")
