"""``python -m toulmin``."""

from toulmin.cli.app import main

main()
