"""Workers: detect, track and paint segments. ``celery -A tasks worker`` starts one."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Celery finds the app of `-A tasks` as an attribute of this module, so it has to be one. It is
    # made when Celery asks: that reads the settings, which importing a plain function must not do.
    if name != "app":
        raise AttributeError(f"module 'tasks' has no attribute '{name}'")
    from facepaint.settings import Settings
    from tasks.worker import make_worker

    return globals().setdefault("app", make_worker(Settings.load()))
