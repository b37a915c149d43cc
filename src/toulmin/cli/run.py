"""``toulmin run`` and ``toulmin studies``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toulmin.cli.output import JSON_OPTION, STORE_OPTION, TRUST_HELP, print_evidence, print_json, print_table

if TYPE_CHECKING:
    from toulmin.evidence import Store
    from toulmin.studies import Study


def run(
    study: str = typer.Argument(..., help="A study as a TOML file, or its kind: tasks.behaviour, circuits.card, ..."),
    preset: str | None = typer.Option(None, help="Start from this setting: tiny, demo or full."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Change one setting; the value as in TOML, or plain text. Repeatable."
    ),
    subject: str | None = typer.Option(None, help="The subject: a reference (embedded:NAME, hf:NAME, ...) or a path."),
    store: Path = STORE_OPTION,
    force: bool = typer.Option(False, "--force", help="Run it also where current evidence exists."),
    trust_mtime: bool = typer.Option(False, "--trust-mtime", help=TRUST_HELP),
    download: bool = typer.Option(False, "--download", help="Allow fetching hf: references from the hub."),
    device: str = typer.Option("cpu", help="Where tensors live: cpu, cuda, ..."),
    threads: int = typer.Option(1, min=1, help="Threads of tensor operations."),
    processes: int = typer.Option(1, min=1, help="Processes for studies whose work comes in pieces."),
    ray: bool = typer.Option(False, "--ray", help="Run pieces as tasks of a Ray cluster instead of processes."),
    seed: int | None = typer.Option(
        None, help="Seed of the run, 0 if not given. Evidence of another seed is then not shown instead of running."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Run a study and keep its evidence (or show the current evidence, if there is any).

    Examples: toulmin run card.toml; toulmin run tasks.behaviour --preset demo --set n=50 --subject dir:my-model
    """
    from toulmin.cli.progress import BarProgress
    from toulmin.evidence import Store
    from toulmin.studies import Pool, ProcessPool, RayPool, Run, execute, find_current

    kept = Store(store)
    asked = _asked(study, preset, settings, subject, kept, trust_mtime=trust_mtime, download=download)
    evidence = None if force else find_current(asked, kept, seed=seed if asked.seed_changes_data() else None)
    ran = evidence is None
    if evidence is None:
        # these estimates were made on subjects of this package; with any other the study times a forward pass of it
        subject_of = str(getattr(asked, "subject", None) or "embedded:")
        if subject_of.startswith("embedded:") and (cost := asked.cost()) is not None:
            typer.echo(f"{asked.kind}: {cost}", err=True)
        pool = RayPool(processes) if ray else ProcessPool(processes) if processes > 1 else Pool()
        setting = Run(Path(store) / "work", BarProgress(), pool, device=device, threads=threads, seed=seed or 0)
        evidence = execute(asked, kept, setting)
    if as_json:
        print_json(evidence.model_dump(mode="json"))
        return
    print_evidence(evidence)
    if not ran:
        seeds = ", ".join(map(str, evidence.seeds))
        typer.echo(f"evidence of {evidence.created[:10]} (seed {seeds}) is still current; --force runs the study again")
        if seed is not None and seed not in evidence.seeds:
            typer.echo(f"seed {seed} would change nothing: this study draws no data")
    typer.echo(f"kept in {kept.folder(evidence)}")


def _asked(
    study: str,
    preset: str | None,
    settings: list[str],
    subject: str | None,
    store: Store,
    *,
    trust_mtime: bool,
    download: bool,
) -> Study:
    """The study of a file or of a kind, with the settings of the command line on top."""
    from toulmin.studies import Resolver, parse_settings, parse_study, read_study

    changes = parse_settings(settings)
    if subject is not None:
        changes["subject"] = _reference(subject)
    if study.endswith(".toml") or Path(study).is_file():
        return read_study(study, store, trust_mtime=trust_mtime, download=download, preset=preset, changes=changes)
    table: dict[str, object] = {"study": study, "configuration": changes}
    if preset is not None:
        table["preset"] = preset
    return parse_study(table).at(Resolver(Path.cwd(), store, trust_mtime, download))


def _reference(subject: str) -> str:
    """A plain path as a reference: ``dir:PATH`` or ``file:PATH``."""
    path = Path(subject)
    return f"dir:{subject}" if path.is_dir() else f"file:{subject}" if path.is_file() else subject


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
