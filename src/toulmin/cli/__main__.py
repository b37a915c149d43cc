"""``python -m toulmin.cli``."""

from toulmin.cli.app import main

main()
