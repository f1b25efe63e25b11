"""``python -m facepaint`` is the console script ``facepaint``."""

from facepaint.cli.app import main

main()
