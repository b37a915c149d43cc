"""``toulmin run STUDY.toml`` and ``toulmin studies``."""

from __future__ import annotations

from pathlib import Path

import typer

from toulmin.cli.output import JSON_OPTION, STORE_OPTION, print_evidence, print_json, print_table


def run(
    study: Path = typer.Argument(..., help="A study as TOML."),
    store: Path = STORE_OPTION,
    force: bool = typer.Option(False, "--force", help="Run it also where current evidence exists."),
    rehash: bool = typer.Option(False, "--rehash", help="Hash every input again instead of trusting the cache."),
    download: bool = typer.Option(False, "--download", help="Allow fetching hf: references from the hub."),
    device: str = typer.Option("cpu", help="Where tensors live: cpu, cuda, ..."),
    threads: int = typer.Option(1, min=1, help="Threads of tensor operations."),
    seed: int = typer.Option(0, help="Seed of the run."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Run a study and keep its evidence (or show the current evidence, if there is any)."""
    from toulmin.cli.progress import BarProgress
    from toulmin.evidence import Store
    from toulmin.studies import Run, execute, find_current, read_study

    kept = Store(store)
    asked = read_study(study, kept, rehash=rehash, download=download)
    evidence = None if force else find_current(asked, kept)
    if evidence is None:
        setting = Run(Path(store) / "work", BarProgress(), device=device, threads=threads, seed=seed)
        evidence = execute(asked, kept, setting)
    if as_json:
        print_json(evidence.model_dump(mode="json"))
    else:
        print_evidence(evidence)
        typer.echo(f"kept in {kept.folder(evidence)}")


def studies(as_json: bool = JSON_OPTION) -> None:
    """List the kinds of studies that can be run, with what they measure."""
    from toulmin.studies import find_study, study_kinds

    found = {kind: find_study(kind) for kind in study_kinds()}
    if as_json:
        print_json(
            {
                kind: {
                    "version": cls.version,
                    "measures": {name: vars(spec) for name, spec in cls.measures.items()},
                    "configuration": cls.model_json_schema(),
                }
                for kind, cls in found.items()
            }
        )
        return
    rows = [
        (kind, (cls.__doc__ or "").strip().splitlines()[0], ", ".join(cls.measures) or "see its page")
        for kind, cls in found.items()
    ]
    print_table("studies", ("kind", "what it asks", "measures"), rows)
