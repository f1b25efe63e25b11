"""The easing curve that fades and animations share."""


def smoothstep(x: float, start: float = 0.0, end: float = 1.0) -> float:
    """Rise from 0 at ``start`` to 1 at ``end``, with slope 0 at both; clamped outside.

    ``start`` may be the larger of the two: the curve then falls with ``x``.
    """
    t = min(1.0, max(0.0, (x - start) / (end - start)))
    return t * t * (3 - 2 * t)
