"""The command line: one file a command, each a thin layer over the packages' functions.

Exit statuses are :class:`toulmin.faults.ExitCode`; faults are listed on standard error, one a line, with file, line and
name, and never as a traceback.
"""

from toulmin.cli.app import main

__all__ = ["main"]
