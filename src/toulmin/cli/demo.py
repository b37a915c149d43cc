"""``toulmin demo``: the main job, on real input, in a minute or two; ``--real``: on a real language model, in ten."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import typer


def demo(
    out: Path = typer.Option(Path("toulmin-demo"), "--out", help="The folder to write: case, evidence and report."),
    jobs: int = typer.Option(2, "--jobs", "-j", min=1, help="Studies at once."),
    clerks: bool = typer.Option(
        False, "--clerks", help="Instead: one case about two model organisms, an honest one and one that schemes."
    ),
    real: bool = typer.Option(
        False,
        "--real",
        help="Instead: a case about SmolLM2-135M, what carries the indirect object; at most 10 minutes of 2 cores. "
        "It needs the model: toulmin subjects get smollm2-135m.",
    ),
) -> None:
    """Study real trained models, check a safety case bound to the evidence, and write a report to open in a browser."""
    from toulmin.case import Ran, Work, run_case
    from toulmin.cli.output import describe_measure, print_faults, print_table
    from toulmin.cli.render import write_report
    from toulmin.evidence import Store
    from toulmin.faults import ExitCode, Fault, FaultError
    from toulmin.studies import Pool, ProcessPool, Resolver

    if clerks and real:
        raise FaultError(Fault("demo.options", "--clerks and --real are two demos: ask for one"), ExitCode.INVALID)
    if real:  # before anything is written or computed; the fault names the command that fetches the model
        Resolver().locate("cached:smollm2-135m")
        out = out / "smollm2"
    out.mkdir(parents=True, exist_ok=True)
    pool = ProcessPool(jobs) if jobs > 1 else Pool()
    if clerks:
        from toulmin.cli.clerks import show_clerks

        show_clerks(out, pool)
        return
    case = out / "case.toml"
    if not case.exists():  # whoever edits the case and runs the demo again keeps the edits
        case.write_text(
            (files("toulmin.cli") / "demo_case" / ("real.toml" if real else "case.toml")).read_text(encoding="utf-8"),
            encoding="utf-8",
        )

    def tell(event: Work | Ran) -> None:
        if isinstance(event, Work):
            typer.echo(f"running {event.kind} for {event.node}", err=True)
        elif not event.evidence:
            typer.echo(f"{event.node} failed", err=True)

    typer.echo(f"case: {case}", err=True)
    report = run_case(case, pool=pool, advance=tell)
    print_faults(report.faults)
    checked = report.checked
    store = Store(checked.case.store_folder) if checked.case is not None else None
    rows: list[tuple[str, str, str, str]] = []
    for node in checked.verdict.nodes.values():
        if store is None or node.binding is None or node.binding.evidence is None or node.binding.study is None:
            continue
        record = store.read(node.binding.evidence)
        named = [name for name in record.measures if node.binding.criterion and name in node.binding.criterion]
        shown = "; ".join(f"{name} {describe_measure(record.measures[name])}" for name in named)
        rows.append((node.id, node.binding.study, shown, node.health.word))
    print_table("evidence", ("node", "study", "found", "health"), rows)
    verdict = checked.verdict
    if verdict.health is not None and verdict.freshness is not None:
        typer.echo(f"{verdict.root} is {verdict.health.word}, {verdict.freshness.value}, because")
        for reason in verdict.reasons[:8]:
            typer.echo(f"  {reason}")
        if len(verdict.reasons) > 8:
            typer.echo(f"  ... and {len(verdict.reasons) - 8} more in the report")
    typer.echo(f"report: {write_report(checked, out / 'report.html').resolve()}")
