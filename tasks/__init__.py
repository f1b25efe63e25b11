"""The workers' room: detect and paint, the work on segments. ``celery -A tasks worker`` runs it."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Making the app reads the settings, which importing one of the plain functions must not do.
    if name in {"app", "celery"}:
        from tasks.worker import app

        return app
    raise AttributeError(f"module 'tasks' has no attribute '{name}'")
