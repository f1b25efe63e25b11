"""Optional parts of the installation: what each extra is needed for, and whether it is there."""

import importlib.util

from facepaint.errors import MissingExtra

_MODULES = {
    # OpenCV alone is on many machines for other reasons.
    "worker": ("cv2", "numpy", "onnxruntime", "resvg_py"),
    "train": ("torch", "onnx", "matplotlib"),
}
"""The modules that facepaint imports of an extra."""


def has_extra(extra: str) -> bool:
    """Whether the modules of an extra, ``worker`` or ``train``, are installed. Imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in _MODULES[extra])


def require_extra(extra: str, needed_for: str) -> None:
    """Return if an extra, ``worker`` or ``train``, is installed.

    Raises:
        MissingExtra: it is not; the message starts with ``needed_for``.
    """
    if not has_extra(extra):
        raise MissingExtra(extra, needed_for)
