"""The doubt that comes with everything that another tool recorded."""

from toulmin.studies import Doubt

PROVENANCE = Doubt(
    "provenance",
    "The log was made elsewhere: that it is complete and of this system rests on whoever made it.",
    "a decision by name to trust the source, or a rerun under Toulmin",
)
