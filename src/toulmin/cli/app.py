"""The program ``toulmin``: its commands, and how it ends."""

from __future__ import annotations

import sys

import typer

from toulmin import __version__
from toulmin.cli import case, demo, evidence, go, run, subjects
from toulmin.cli.output import print_faults
from toulmin.faults import ExitCode, Fault, FaultError

EXIT_STATUSES = "  ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode)

app = typer.Typer(
    name="toulmin",
    help="Turn experiments on an AI system into evidence, and evidence into a safety case that re-checks itself.",
    epilog=f"Exit status: {EXIT_STATUSES}.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"toulmin {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("studies")(run.studies)
app.add_typer(case.app, name="case")
app.add_typer(subjects.app, name="subjects")
app.add_typer(evidence.app, name="evidence")
app.add_typer(go.app, name="go")


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        app()
    except FaultError as faulty:
        print_faults(faulty)
        sys.exit(int(faulty.exit_code))
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.INTERRUPTED))
    except BrokenPipeError:  # the reader of our output went away: `toulmin ... | head`
        sys.stderr.close()
        sys.exit(int(ExitCode.OK))
    except OSError as error:  # a full or read-only disk, a file that vanished: said, never a traceback
        why = error.strerror or str(error)
        print_faults([Fault("system.file", why, str(error.filename) if error.filename else None)])
        sys.exit(int(ExitCode.EVIDENCE))
    except MemoryError:
        print_faults([Fault("system.memory", "memory is exhausted", hint="a smaller setting (n, batch) needs less")])
        sys.exit(int(ExitCode.LIMIT))
