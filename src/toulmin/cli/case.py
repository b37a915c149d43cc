"""``toulmin case``: check a safety case, run what it asks for, compare, explain, render, import, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toulmin.cli import seal
from toulmin.cli.output import JSON_OPTION, TRUST_HELP, print_json, print_table, write_new
from toulmin.faults import ExitCode, Fault, FaultError

if TYPE_CHECKING:
    from toulmin.case import Checked

app = typer.Typer(
    help="Safety cases that re-check themselves.",
    epilog="check exits with 0 releasable, 1 not supported, 2 invalid, 3 stale only, 4 evidence error "
    "(the first that applies of 2, 4, 1, 3, 0; all reasons are printed).",
    no_args_is_help=True,
)
CASE = typer.Argument(Path(), metavar="CASE", help="A case.toml, or the folder that holds it.")
STORE = typer.Option(None, "--store", help="The folder of evidence, instead of the one the case names.")
TRUST = typer.Option(False, "--trust-mtime", help=TRUST_HELP)
DEVICE = typer.Option("cpu", help="Where tensors live: cpu, cuda, ...")
THREADS = typer.Option(1, min=1, help="Threads of tensor operations, in each study.")


def _finish(checked: Checked, as_json: bool, *, hinges: bool = False) -> None:
    """Print a verdict and exit with its status."""
    from toulmin.case import json_data, severity

    verdict = checked.verdict
    sensitivity = checked.sensitivity() if hinges else None
    if as_json:
        document = json_data(verdict)
        if hinges:
            document["sensitivity"] = json_data(sensitivity)
        print_json(document)
        raise typer.Exit(int(verdict.exit_code))
    for fault in verdict.faults:
        if severity(fault) == "warning":
            typer.echo(f"warning: {fault}")
    for problem in verdict.open_problems:
        typer.echo(f"open problem {problem.id} ({problem.state}): {problem.text}")
    if verdict.health is not None and verdict.freshness is not None:
        title = f"{verdict.title}: " if verdict.title else ""
        typer.echo(f"{title}{verdict.root} is {verdict.health.word}, {verdict.freshness.value}")
        if verdict.probability is not None:
            typer.echo(f"probability in [{verdict.probability.low:.3g}, {verdict.probability.high:.3g}]")
    for reason in verdict.reasons:
        typer.echo(f"  {reason}")
    if sensitivity is not None:
        _print_hinges(checked)
    words = {0: "releasable", 1: "not supported", 2: "invalid", 3: "stale", 4: "evidence error"}
    typer.echo(f"verdict: {words[int(verdict.exit_code)]} (exit {int(verdict.exit_code)})")
    raise typer.Exit(int(verdict.exit_code))


def _print_hinges(checked: Checked) -> None:
    sensitivity = checked.sensitivity()
    if sensitivity is None:
        return
    typer.echo("the root if one leaf is")
    effects = [(e.id, e.if_refuted.word, e.if_unsupported.word, e.if_stale.value) for e in sensitivity.leaves]
    print_table("", ("leaf", "refuted", "unsupported", "stale"), effects)
    more = " (larger or further ones were left out)" if sensitivity.cut_sets.truncated else ""
    typer.echo(f"smallest sets whose failure sinks the root{more}")
    for found in sensitivity.cut_sets:
        typer.echo(f"  {', '.join(found)}")
    if sensitivity.hinges:
        typer.echo("shared by several branches")
        print_table("", ("element", "used by"), [(h.id, ", ".join(h.used_by)) for h in sensitivity.hinges])
    if sensitivity.tornado:
        typer.echo("the root's probability if one leaf is surely")
        bars = [
            (b.id, *(f"[{low:.3g}, {high:.3g}]" for low, high in (b.if_false, b.if_true))) for b in sensitivity.tornado
        ]
        print_table("", ("leaf", "false", "true"), bars)


@app.command()
def check(
    case: Path = CASE,
    store: Path | None = STORE,
    trust_mtime: bool = TRUST,
    reproduce: int = typer.Option(
        0, "--reproduce", min=0, metavar="K", help="Collect K leaves again, drawn at random."
    ),
    seed: int = typer.Option(0, help="Seed of that draw."),
    hinges: bool = typer.Option(False, "--hinges", help="Also say what the conclusion hinges on."),
    device: str = DEVICE,
    threads: int = THREADS,
    as_json: bool = JSON_OPTION,
) -> None:
    """Say what a case is worth today, and why; the exit status says it too."""
    from toulmin.case import check_case, reproduce_leaves, with_faults

    checked = check_case(case, store=store, trust_mtime=trust_mtime)
    if reproduce:
        checked = with_faults(checked, reproduce_leaves(checked, reproduce, seed=seed, device=device, threads=threads))
    _finish(checked, as_json, hinges=hinges)


@app.command()
def run(
    case: Path = CASE,
    only: list[str] = typer.Option([], "--only", metavar="ID", help="Only this evidence; may be repeated."),
    jobs: int = typer.Option(1, "--jobs", "-j", min=1, help="Studies at once, each in a process of its own."),
    force: bool = typer.Option(False, "--force", help="Run also what is there and current."),
    store: Path | None = STORE,
    device: str = DEVICE,
    threads: int = THREADS,
    as_json: bool = JSON_OPTION,
) -> None:
    """Run the studies whose evidence is missing or stale, then check. Killed, it goes on where it stopped."""
    from toulmin.case import Ran, Work, run_case
    from toulmin.studies import Pool, ProcessPool

    def tell(event: Work | Ran) -> None:
        if isinstance(event, Work):
            typer.echo(f"to run: {event.node} ({event.kind}, seed {event.seed})", err=True)
        else:
            outcome = f"evidence {event.evidence[:12]}" if event.evidence else "failed"
            typer.echo(f"done: {event.node}, {outcome}", err=True)

    pool = ProcessPool(jobs) if jobs > 1 else Pool()
    report = run_case(
        case, pool=pool, only=only, force=force, store=store, device=device, threads=threads, advance=tell
    )
    for fault in report.faults:
        typer.echo(f"error: {fault}", err=True)
    _finish(report.checked, as_json)


@app.command()
def accept(
    case: Path = CASE,
    by: str = typer.Option(..., "--by", help="Who accepts: a name."),
    why: str = typer.Option(..., "--why", help="Why it is accepted; it stays in the lock."),
    only: list[str] = typer.Option([], "--only", metavar="ID", help="Only this evidence; may be repeated."),
    store: Path | None = STORE,
    as_json: bool = JSON_OPTION,
) -> None:
    """Register the case and its evidence as they are now in case.lock, by name, date and why; then check.

    This settles what a check says of the lock (C051, C052, C057, C070 to C077): records and elements that differ from
    what was registered before the results.
    """
    from toulmin.case import accept_case

    _finish(accept_case(case, by, why, only=only, store=store), as_json)


@app.command()
def diff(
    first: Path = typer.Argument(..., metavar="A", help="A case."),
    second: Path = typer.Argument(..., metavar="B", help="Another, or a later one."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Say how B differs from A; whatever became easier to pass is flagged. Exit 1 where they differ."""
    from toulmin.case import check_case, compare_cases, json_data

    checked = [check_case(path) for path in (first, second)]
    unreadable = [fault for c in checked if c.case is None for fault in c.verdict.faults]
    if unreadable:
        raise FaultError(unreadable)
    changes = compare_cases(*checked)
    if as_json:
        print_json([json_data(change) for change in changes])
    else:
        for change in changes:
            typer.echo(str(change))
        typer.echo(f"{len(changes)} differences, {sum(c.direction == 'loosened' for c in changes)} loosened")
    raise typer.Exit(int(ExitCode.NOT_SUPPORTED if changes else ExitCode.OK))


@app.command()
def explain(
    case: Path = typer.Argument(..., metavar="CASE", help="A case.toml, or the folder that holds it."),
    node: str | None = typer.Argument(None, metavar="NODE", help="The element; the root where none is named."),
    store: Path | None = STORE,
    as_json: bool = JSON_OPTION,
) -> None:
    """Explain one element: its state, why, what it rests on, what uses it, and the root without it."""
    from toulmin.case import check_case, json_data
    from toulmin.case import explain as explained

    checked = check_case(case, store=store)
    lines = explained(checked, node)
    if as_json:
        found = checked.verdict.nodes[node or checked.verdict.root or ""]
        print_json({**json_data(found), "explanation": lines})
    else:
        for line in lines:
            typer.echo(line)


@app.command()
def render(
    case: Path = CASE,
    out: Path | None = typer.Option(None, "--out", "-o", help="The page to write; beside the case by default."),
    slide: Path | None = typer.Option(
        None, "--slide", metavar="FILE", help="Write one slide instead of the page: FILE ends in .svg or .png."
    ),
    store: Path | None = STORE,
) -> None:
    """Write the report: one HTML page that needs nothing else. Exits with the status of the check."""
    from toulmin.case import check_case
    from toulmin.cli.render import write_report, write_slide

    checked = check_case(case, store=store)
    if checked.case is None:
        raise FaultError(checked.verdict.faults)
    if slide is not None:
        typer.echo(str(write_slide(checked, slide)))
    if slide is None or out is not None:
        typer.echo(str(write_report(checked, out or Path(checked.verdict.file).parent / "case.html")))
    raise typer.Exit(int(checked.verdict.exit_code))


@app.command()
def new(
    folder: Path = typer.Argument(..., metavar="FOLDER", help="The folder to write case.toml into."),
    template: str = typer.Option(
        ...,
        "--template",
        "-t",
        help="A template, or the path of a pattern of your own (.toml).",
    ),
    owner: str = typer.Option(..., "--owner", help="Its author, who owns its assumptions until they are handed out."),
    settings: list[str] = typer.Option(
        [],
        "--set",
        metavar="NAME=TEXT",
        help="Instantiate a parameter, written {NAME} in the case, or a "
        "part of the pattern: CHILD=2 copies, CHILD=0 without it, CLAIM=A,B chosen; may be repeated.",
    ),
) -> None:
    """Start a case from a template; it is undeveloped until evidence is bound to it."""
    from toulmin.case.templates import write_template

    wrong = [one for one in settings if "=" not in one]
    if wrong:
        raise FaultError([Fault("case.setting", "write it as NAME=TEXT", name=one) for one in wrong])
    values = dict(one.split("=", 1) for one in settings)
    typer.echo(str(write_template(template, folder, owner=owner, values=values)))


@app.command("import")
def import_(
    source: Path = typer.Argument(..., metavar="FILE", help="A case of another tool: gsn2x YAML, SACM XMI, TEA JSON."),
    out: Path = typer.Option(..., "--out", "-o", help="The case.toml to write; never over an existing one."),
    form: str | None = typer.Option(None, "--format", help="gsn2x, sacm or tea; by the ending where it is not said."),
) -> None:
    """Read a case of another tool; what a case has no place for is listed line by line."""
    from toulmin.case import write_case
    from toulmin.case.interchange import import_case

    parsed, losses = import_case(source, form)
    write_new(out, write_case(parsed))
    for loss in losses:
        typer.echo(f"not kept: {loss}")
    typer.echo(str(out))


@app.command()
def export(
    case: Path = CASE,
    form: str = typer.Option(..., "--format", help="gsn2x, sacm, tea, markdown or svg."),
    out: Path | None = typer.Option(
        None, "--out", "-o", help="The file to write; standard output where none is named."
    ),
) -> None:
    """Write the case for another tool; what the format has no place for is listed on standard error."""
    from toulmin.case import check_case, read_case
    from toulmin.case.interchange import export_case

    losses: Sequence[Fault] = ()
    if form == "svg":
        from toulmin.report import render_diagram

        text = render_diagram(check_case(case).verdict)
    else:
        text, losses = export_case(read_case(case).parsed, form)
    if out is None:
        typer.echo(text)
    else:
        write_new(out, text)
        typer.echo(str(out))
    for loss in losses:
        typer.echo(f"not kept: {loss}", err=True)


app.command("seal")(seal.seal)
app.command("verify-seal")(seal.verify_seal)


@app.command()
def schema() -> None:
    """Print the JSON Schema of case.toml."""
    from toulmin.case import case_schema

    print_json(case_schema())


@app.command()
def diagnostics(as_json: bool = JSON_OPTION) -> None:
    """List every numbered diagnostic."""
    from toulmin.case import DIAGNOSTICS

    if as_json:
        print_json({code: d._asdict() for code, d in DIAGNOSTICS.items()})
    else:
        print_table(
            "diagnostics", ("code", "severity", "what"), [(c, d.severity, d.title) for c, d in DIAGNOSTICS.items()]
        )
