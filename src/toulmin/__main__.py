"""``python -m toulmin``."""

from toulmin.cli import main

main()
