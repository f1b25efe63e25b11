"""facepaint: paint or redact the faces in a video on machines other than the one that holds it.

The public Python API: `Client`, `Look`, `parse_look` and the errors. See docs/python.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facepaint.client import Client
    from facepaint.errors import (
        FacepaintError,
        InputError,
        JobDeleted,
        JobError,
        MissingExtra,
        ServiceError,
        UnknownJob,
        UsageError,
    )
    from facepaint.looks.look import Look
    from facepaint.looks.parser import parse_look

__version__ = "0.1.0"

__all__ = [
    "Client",
    "FacepaintError",
    "InputError",
    "JobDeleted",
    "JobError",
    "Look",
    "MissingExtra",
    "ServiceError",
    "UnknownJob",
    "UsageError",
    "__version__",
    "parse_look",
]

_HOMES = {
    "Client": "facepaint.client",
    "Look": "facepaint.looks.look",
    "parse_look": "facepaint.looks.parser",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that commands start quickly."""
    if name not in __all__:
        raise AttributeError(f"module 'facepaint' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES.get(name, "facepaint.errors")), name)
