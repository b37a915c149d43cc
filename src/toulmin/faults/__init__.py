"""What can go wrong, said the same way everywhere.

A :class:`Fault` is one thing that is wrong, with a stable code and a place. Readers collect every fault they find and
raise them together as :class:`FaultError`; the command line prints them all and exits with the number of their class.
:func:`read_toml` is the one reader of TOML, and knows the line of every key.
"""

from toulmin.faults.fault import ExitCode, Fault, FaultError, MissingExtra, require_extra
from toulmin.faults.field_types import has_field_type
from toulmin.faults.pydantic_faults import faults_of_validation
from toulmin.faults.toml import LocatedToml, read_toml

__all__ = [
    "ExitCode",
    "Fault",
    "FaultError",
    "LocatedToml",
    "MissingExtra",
    "faults_of_validation",
    "has_field_type",
    "read_toml",
    "require_extra",
]
