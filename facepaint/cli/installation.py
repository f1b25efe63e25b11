"""Check that no other distribution's package shadows one of ours.

The names ``tasks``, ``models``, ``filters``, ``viewer`` and ``uploader`` are common. In an
environment shared with other projects another package may come first on the path.
"""

from importlib.machinery import PathFinder
from pathlib import Path

from facepaint.errors import UsageError

PACKAGES = ("uploader", "tasks", "models", "filters", "viewer")

ROOT = Path(__file__).resolve().parents[2]
"""The folder that all our packages are in."""


def check_packages() -> None:
    """Refuse to run with another distribution's package in place of ours.

    Raises:
        UsageError: a package of the same name comes first on the path, or ours is missing.
    """
    for name in PACKAGES:
        location = _location(name)
        if location is None:
            raise UsageError(f"facepaint's package '{name}' is missing in {ROOT}: install it again")
        if location.parent != ROOT:
            raise UsageError(
                f"{location} shadows facepaint's package '{name}': install facepaint in an "
                "environment of its own with pipx or `uv tool install`, or unset PYTHONPATH"
            )


def _location(name: str) -> Path | None:
    """The folder or file that ``import name`` would load."""
    spec = PathFinder.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
