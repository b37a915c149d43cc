"""``toulmin case seal`` and ``toulmin case verify-seal``: handing a case over."""

from __future__ import annotations

from pathlib import Path

import typer

from toulmin.faults import ExitCode, FaultError

_UNSIGNED = "not signed: keep the digest where the owner of the case cannot write"


def seal(
    case: Path = typer.Argument(Path(), metavar="CASE", help="A case.toml, or the folder that holds it."),
    out: Path | None = typer.Option(None, "--out", "-o", help="The seal to write; case.seal by default."),
    key: Path | None = typer.Option(None, "--key", help="Sign with this Ed25519 private key (PEM or OpenSSH)."),
) -> None:
    """Check a case and write one file with the hashes of all it rests on, signed where a key is given."""
    from toulmin.case import check_case
    from toulmin.case.seal import SEAL_NAME, read_seal, seal_case
    from toulmin.cli.output import write_new

    checked = check_case(case)
    text = seal_case(checked, key)
    target = out or Path(checked.verdict.file).parent / SEAL_NAME
    write_new(target, text)
    sealed = read_seal(target)
    code = sealed["verdict"]["exit_code"]
    typer.echo(f"sealed: {len(sealed['files'])} files, {len(sealed['records'])} records; verdict exit {code}")
    typer.echo(f"digest: {sealed['digest']}")
    typer.echo("signed with an Ed25519 key" if key else _UNSIGNED)
    typer.echo(str(target))


def verify_seal(
    file: Path = typer.Argument(..., metavar="SEAL", help="A seal."),
    case: Path | None = typer.Option(None, "--case", help="The case, or its folder; that of the seal by default."),
    public_key: Path | None = typer.Option(None, "--public-key", help="The key that must have signed it."),
) -> None:
    """Check that a case is what was sealed. Exit 4 where it is not."""
    from toulmin.case.seal import read_seal, verify_seal

    faults = verify_seal(file, case, public_key)
    if faults:
        raise FaultError(faults, ExitCode.EVIDENCE)
    sealed = read_seal(file)
    signature = sealed.get("signature")
    code = sealed["verdict"]["exit_code"]
    typer.echo(f"the case is what was sealed on {sealed['made'][:10]}, with verdict exit {code}")
    if signature is None:
        typer.echo(f"not signed: compare the digest {sealed['digest']} with one that came another way")
    else:
        known = "the key you named" if public_key else "a key you have not named with --public-key"
        typer.echo(f"signed with {known}: {signature['public_key']}")
