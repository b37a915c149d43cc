"""``toulmin evidence``: look at what studies left, and check it."""

from __future__ import annotations

from pathlib import Path

import typer

from toulmin.cli.output import JSON_OPTION, STORE_OPTION, print_evidence, print_faults, print_json, print_table
from toulmin.faults import ExitCode, Fault, FaultError

app = typer.Typer(help="Look at evidence, and check that it is what it was.", no_args_is_help=True)


@app.command("list")
def list_records(store: Path = STORE_OPTION, as_json: bool = JSON_OPTION) -> None:
    """List every record of the store; damaged ones too."""
    from toulmin.evidence import Evidence, Store

    records = list(Store(store).list())
    good = sorted((r for r in records if isinstance(r, Evidence)), key=lambda r: (r.created, r.id))
    bad = [fault for r in records if isinstance(r, FaultError) for fault in r.faults]
    if as_json:
        print_json(
            [{"id": r.id, "kind": r.kind, "created": r.created, "n": r.n, "measures": list(r.measures)} for r in good]
        )
    else:
        rows = [(r.id[:12], r.kind, r.created[:19].replace("T", " "), r.n, ", ".join(r.measures)) for r in good]
        print_table(f"evidence in {store}", ("id", "study", "made (UTC)", "n", "measures"), rows)
    if bad:
        raise FaultError(bad, ExitCode.EVIDENCE)


@app.command()
def show(
    identifier: str = typer.Argument(..., metavar="ID", help="The id, or how it begins."),
    store: Path = STORE_OPTION,
    html: Path | None = typer.Option(None, "--html", help="Also write it as a page."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show one record: what was asked, of what, and what came out."""
    from toulmin.evidence import Store

    record = Store(store).read(identifier)
    if html is not None:
        from toulmin.report import render_evidence

        html.write_text(render_evidence(record), encoding="utf-8")
    if as_json:
        print_json(record.model_dump(mode="json"))
        return
    print_evidence(record)
    print_table("inputs", ("role", "reference", "sha256"), [(i.role, i.reference, i.sha256) for i in record.inputs])
    print_table("configuration", ("key", "value"), list(record.configuration.items()))
    for table in record.tables:
        rows = [[f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in table.rows]
        print_table(table.title, table.columns, rows)
    if html is not None:
        typer.echo(f"page: {html}")


def _wanted(identifiers: list[str], store: Path) -> list[str]:
    from toulmin.evidence import Store

    kept = Store(store)
    return [kept.resolve(i) for i in identifiers] if identifiers else kept.ids()


@app.command()
def verify(
    identifiers: list[str] = typer.Argument(None, metavar="[ID...]", help="Which records; all of them by default."),
    store: Path = STORE_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Check that records, files and the ledger are unchanged, and that the numbers follow from the stored items.

    Without an ID the whole store is checked: a record that was renamed, deleted or put in by hand is found too.
    """
    from toulmin.evidence import Store
    from toulmin.studies import re_derive

    kept = Store(store)
    found: dict[str, list[Fault]] = {}
    audit = [] if identifiers else kept.audit()
    if audit:
        found["ledger"] = audit
    for identifier in _wanted(identifiers or [], store):
        try:
            found[identifier] = re_derive(kept.read(identifier), kept)
        except FaultError as faulty:
            found[identifier] = list(faulty.faults)
    if as_json:
        print_json({identifier: [vars(fault) for fault in faults] for identifier, faults in found.items()})
    else:
        for identifier, faults in found.items():
            typer.echo(f"{identifier[:12]}  {'does not verify' if faults else 'verified'}")
            print_faults(faults)
        if not identifiers and not audit and found:
            typer.echo("ledger        verified: every record that was ever written is here")
        if not found:
            typer.echo(f"no evidence in {store}")
    if any(found.values()):
        raise typer.Exit(int(ExitCode.EVIDENCE))


@app.command()
def reproduce(
    identifiers: list[str] = typer.Argument(None, metavar="[ID...]", help="Which records; all of them by default."),
    store: Path = STORE_OPTION,
    base: Path = typer.Option(Path(), "--base", help="What relative paths in the configuration are relative to."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Run the studies of records again and compare each measure with its recorded interval."""
    from toulmin.cli.progress import BarProgress
    from toulmin.evidence import Store
    from toulmin.studies import Resolver, Run, reproduce

    kept = Store(store)
    found: dict[str, list[Fault]] = {}
    for identifier in _wanted(identifiers or [], store):
        record = kept.read(identifier)
        setting = Run(Path(store) / "work", BarProgress(), device=record.device, threads=record.threads)
        found[identifier] = reproduce(record, kept, setting, Resolver(base.resolve(), kept))
        if not as_json:
            typer.echo(f"{identifier[:12]}  {'does not reproduce' if found[identifier] else 'reproduced'}")
            print_faults(found[identifier])
    if as_json:
        print_json({identifier: [vars(fault) for fault in faults] for identifier, faults in found.items()})
    if any(found.values()):
        raise typer.Exit(int(ExitCode.EVIDENCE))
