"""facepaint: paint or hide the faces in a video on machines other than the one that holds it."""

__version__ = "0.1.0"
