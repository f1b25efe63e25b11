"""The layers of our stickers: their drawings, their places on the head and their animations."""

from collections.abc import Mapping

from filters.layers import Layer
from filters.motion import Motion

HEARTS = 6
STARS = 5


def _heart(number: int) -> Layer:
    """One of the hearts that rise in turn on both sides of the head."""
    side = 1 if number % 2 else -1
    right = (1.5, 1.25, 1.75)[number // 2] * side
    motion = Motion(
        2.4, phase=(number * 5 % HEARTS) / HEARTS, sway=0.12 * side, rock=10 * side, rise=2.1
    )
    return Layer("heart", (40, 38), (right, 0.5, 0.0), roundness=1.0, motion=motion, glows=True)


def _star(number: int) -> Layer:
    """One of the stars that circle above the head."""
    motion = Motion(2.5, phase=number / STARS, loop=1.15, rock=14, swell=0.1)
    return Layer("star", (40, 42), (0.0, -1.75, -0.75), roundness=1.0, motion=motion, glows=True)


def _tears(side: int) -> tuple[Layer, ...]:
    """Two tears that run from one eye down the cheek."""
    # Phases differ between the eyes: tears in step look mechanical.
    phases = (0.0, 0.5) if side > 0 else (0.27, 0.77)
    return tuple(
        Layer(
            "tear",
            (19, 11),
            (0.58 * side, 0.16, 0.1),
            mirrored=side > 0,
            motion=Motion(1.6, phase=phase, rise=-1.0),
        )
        for phase in phases
    )


STICKERS: Mapping[str, tuple[Layer, ...]] = {
    "sunglasses": (Layer("sunglasses", (150, 54), (0.0, 0.0, 0.1)),),
    "moustache": (Layer("moustache", (140, 54), (0.0, 0.8, 0.25)),),
    "party-hat": (Layer("party-hat", (110, 236), (0.0, -1.1, -0.75), roundness=1.0),),
    "dog": (
        Layer("dog-ear", (60, 150), (-0.9, -0.95, -0.75), turn=-25, roundness=0.3),
        Layer("dog-ear", (60, 150), (0.9, -0.95, -0.75), turn=25, roundness=0.3, mirrored=True),
        Layer("dog-nose", (90, 40), (0.0, 0.56, 0.47), roundness=0.5),
    ),
    "crown": (Layer("crown", (140, 165), (0.0, -1.05, -0.75), roundness=1.0),),
    "me-gusta": (Layer("me-gusta", (150, 201), (0.0, 0.5, 0.0), roundness=0.5),),
    "cat": (
        Layer("cat-ear", (66, 130), (-0.68, -1.0, -0.7), turn=-20, roundness=0.3),
        Layer("cat-ear", (66, 130), (0.68, -1.0, -0.7), turn=20, roundness=0.3, mirrored=True),
        Layer("cat-nose", (140, 44), (0.0, 0.56, 0.47), roundness=0.5),
    ),
    "bunny": (
        Layer("bunny-ear", (66, 200), (-0.4, -1.0, -0.7), turn=-15, roundness=0.4),
        Layer("bunny-ear", (66, 200), (0.4, -1.0, -0.7), turn=15, roundness=0.4, mirrored=True),
        Layer("bunny-nose", (120, 42), (0.0, 0.56, 0.47), roundness=0.5),
    ),
    "clown": (
        Layer("clown-hair", (96, 100), (-1.02, -0.6, -0.7), turn=-25, roundness=0.4),
        Layer("clown-hair", (96, 100), (1.02, -0.6, -0.7), turn=25, roundness=0.4, mirrored=True),
        Layer("clown-nose", (50, 49), (0.0, 0.52, 0.5), roundness=1.0),
    ),
    "pirate": (
        Layer("pirate-patch", (142, 96), (0.0, 0.0, 0.1)),
        Layer("pirate-bandana", (151, 140), (0.0, -0.85, -0.65), roundness=1.0),
    ),
    "viking": (Layer("viking", (210, 184), (0.0, -0.8, -0.72), roundness=1.0),),
    "devil": (
        Layer("devil-horn", (68, 124), (-0.53, -0.98, -0.65), turn=-20, roundness=0.5),
        Layer("devil-horn", (68, 124), (0.53, -0.98, -0.65), turn=20, roundness=0.5, mirrored=True),
    ),
    "round-glasses": (Layer("round-glasses", (150, 62), (0.0, 0.0, 0.1)),),
    "flower-crown": (Layer("flower-crown", (180, 80), (0.0, -0.92, -0.75), roundness=1.0),),
    "halo": (
        Layer(
            "halo",
            (130, 60),
            (0.0, -2.0, -0.8),
            roundness=1.0,
            motion=Motion(2.0, bob=0.09, rock=2.5),
            glows=True,
        ),
    ),
    "hearts": tuple(_heart(number) for number in range(HEARTS)),
    "stars": tuple(_star(number) for number in range(STARS)),
    "flames": (
        Layer(
            "flames",
            (140, 178),
            (0.0, -1.0, -0.75),
            roundness=1.0,
            motion=Motion(0.72),
            frames=6,
            glows=True,
        ),
    ),
    "tears": (*_tears(-1), *_tears(1)),
}
"""The layers of each sticker of the catalogue, in the order of painting."""
