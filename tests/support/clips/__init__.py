"""The clip set: clips of every kind that users have, generated, each with its recipe in its
docstring.

`CLIPS` names them all, in the order and the groups of the table in docs/fidelity.md. The fixture
``media`` of tests/conftest.py makes one, once a session.
"""

from tests.support.clips import audio, codecs, colour, damage, geometry, times
from tests.support.clips.registry import CLIPS, Clip, Media

__all__ = ["CLIPS", "Clip", "Media", "audio", "codecs", "colour", "damage", "geometry", "times"]
