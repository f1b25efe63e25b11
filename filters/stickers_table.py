"""Our own stickers: which points of which drawings lie where on the head, and how they move."""

from collections.abc import Mapping

from filters.layers import Part
from filters.motion import Motion

HEARTS = 6
STARS = 5


def _heart(number: int) -> Part:
    """One of the hearts that rise by turns on both sides of the head."""
    side = 1 if number % 2 else -1
    right = (1.5, 1.25, 1.75)[number // 2] * side
    motion = Motion(
        2.4, phase=(number * 5 % HEARTS) / HEARTS, sway=0.12 * side, rock=10 * side, rise=2.1
    )
    return Part("heart", (40, 38), (right, 0.5, 0.0), round=1.0, motion=motion, glows=True)


def _star(number: int) -> Part:
    """One of the stars that go round above the head."""
    motion = Motion(2.5, phase=number / STARS, loop=1.15, rock=14, swell=0.1)
    return Part("star", (40, 42), (0.0, -1.75, -0.75), round=1.0, motion=motion, glows=True)


def _tears(side: int) -> tuple[Part, ...]:
    """What wells up in an eye and runs down the cheek, twice in a round."""
    return tuple(
        Part(
            "tear",
            (19, 11),
            (0.58 * side, 0.16, 0.1),
            mirrored=side > 0,
            motion=Motion(1.6, phase=phase, rise=-1.0),
        )
        for phase in ((0.0, 0.5) if side > 0 else (0.27, 0.77))
    )


STICKERS: Mapping[str, tuple[Part, ...]] = {
    "sunglasses": (Part("sunglasses", (150, 54), (0.0, 0.0, 0.1)),),
    "moustache": (Part("moustache", (140, 54), (0.0, 0.8, 0.25)),),
    "party-hat": (Part("party-hat", (110, 236), (0.0, -1.1, -0.75), round=1.0),),
    "dog": (
        Part("dog-ear", (60, 150), (-0.9, -0.95, -0.75), turn=-25, round=0.3),
        Part("dog-ear", (60, 150), (0.9, -0.95, -0.75), turn=25, round=0.3, mirrored=True),
        Part("dog-nose", (90, 40), (0.0, 0.56, 0.47), round=0.5),
    ),
    "crown": (Part("crown", (140, 165), (0.0, -1.05, -0.75), round=1.0),),
    "me-gusta": (Part("me-gusta", (150, 201), (0.0, 0.5, 0.0), round=0.5),),
    "cat": (
        Part("cat-ear", (66, 130), (-0.68, -1.0, -0.7), turn=-20, round=0.3),
        Part("cat-ear", (66, 130), (0.68, -1.0, -0.7), turn=20, round=0.3, mirrored=True),
        Part("cat-nose", (140, 44), (0.0, 0.56, 0.47), round=0.5),
    ),
    "bunny": (
        Part("bunny-ear", (66, 200), (-0.4, -1.0, -0.7), turn=-15, round=0.4),
        Part("bunny-ear", (66, 200), (0.4, -1.0, -0.7), turn=15, round=0.4, mirrored=True),
        Part("bunny-nose", (120, 42), (0.0, 0.56, 0.47), round=0.5),
    ),
    "clown": (
        Part("clown-hair", (96, 100), (-1.02, -0.6, -0.7), turn=-25, round=0.4),
        Part("clown-hair", (96, 100), (1.02, -0.6, -0.7), turn=25, round=0.4, mirrored=True),
        Part("clown-nose", (50, 49), (0.0, 0.52, 0.5), round=1.0),
    ),
    "pirate": (
        Part("pirate-patch", (142, 96), (0.0, 0.0, 0.1)),
        Part("pirate-bandana", (151, 140), (0.0, -0.85, -0.65), round=1.0),
    ),
    "viking": (Part("viking", (210, 184), (0.0, -0.8, -0.72), round=1.0),),
    "devil": (
        Part("devil-horn", (68, 124), (-0.53, -0.98, -0.65), turn=-20, round=0.5),
        Part("devil-horn", (68, 124), (0.53, -0.98, -0.65), turn=20, round=0.5, mirrored=True),
    ),
    "round-glasses": (Part("round-glasses", (150, 62), (0.0, 0.0, 0.1)),),
    "flower-crown": (Part("flower-crown", (180, 80), (0.0, -0.92, -0.75), round=1.0),),
    "halo": (
        Part(
            "halo",
            (130, 60),
            (0.0, -2.0, -0.8),
            round=1.0,
            motion=Motion(2.0, bob=0.09, rock=2.5),
            glows=True,
        ),
    ),
    "hearts": tuple(_heart(number) for number in range(HEARTS)),
    "stars": tuple(_star(number) for number in range(STARS)),
    "flames": (
        Part(
            "flames",
            (140, 178),
            (0.0, -1.0, -0.75),
            round=1.0,
            motion=Motion(0.72),
            frames=6,
            glows=True,
        ),
    ),
    "tears": (*_tears(-1), *_tears(1)),
}
"""The parts of each sticker of the catalogue, in the order they are painted."""
