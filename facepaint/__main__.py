"""``python -m facepaint`` is the console script ``facepaint``."""

from facepaint.cli import main

main()
