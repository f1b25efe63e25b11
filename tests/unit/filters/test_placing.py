"""Placement of stickers: on the eyes or the head, with its roll, size, yaw and pitch."""

import math
from dataclasses import replace

import numpy as np
import pytest

from facepaint.looks.catalogue import CATALOGUE
from facepaint.looks.parser import parse_look
from filters.affine import Affine
from filters.artwork import Artwork, asset, svg_artwork
from filters.blit import blit
from filters.face import Face, pose_of
from filters.layers import UNITS, Layer, layer_opacity, layer_to_frame
from filters.planes import Planes
from filters.pose import HeadPose, Point
from filters.registry import make_painter
from filters.stickers import UserSticker
from filters.stickers_table import STICKERS
from tests.support.filter_cases import face_at, noise, painter_of, same

FRONT = ((-50, 0), (50, 0), (0, 58), (-42, 102), (42, 102))
"""The landmarks of a frontal face, its eyes 100 px apart."""


def seen(points: tuple[Point, ...], degrees: float = 0, scale: float = 1) -> Face:
    """A face at (500, 500), enlarged and rolled clockwise."""
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))

    def moved(x: float, y: float) -> Point:
        return 500 + cos * x - sin * y, 500 + sin * x + cos * y

    corners = [moved(x, y) for x in (-108, 108) for y in (-104, 178)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return Face(
        (min(xs), min(ys), max(xs), max(ys)),
        tuple(n for point in points for n in moved(*point)),
        0.9,
    )


def test_the_size_of_a_frontal_face_is_the_distance_of_its_eyes() -> None:
    pose = pose_of(seen(FRONT))
    assert pose.size == pytest.approx(100, rel=0.03)
    assert (pose.yaw, pose.roll) == pytest.approx((0, 0), abs=1e-6)
    assert pose.pitch == pytest.approx(0, abs=3)
    assert (pose.x, pose.y) == pytest.approx((500, 500), abs=2)


def test_a_face_without_landmarks_is_placed_by_its_box() -> None:
    face = Face((100, 100, 342, 342), (), 0.9)
    pose = pose_of(face)
    assert (pose.yaw, pose.pitch, pose.roll) == (0, 0, 0)
    assert pose.size == pytest.approx(100, rel=0.15)
    assert pose.x == pytest.approx(221)
    assert 150 < pose.y < 221


def test_a_smoothed_pose_takes_precedence() -> None:
    smoothed = HeadPose(30, 40, 50, 10, 20, 30)
    assert pose_of(replace(seen(FRONT), head=smoothed)) == smoothed


@pytest.mark.parametrize("degrees", range(-180, 180, 30))
def test_stickers_turn_with_the_head(degrees: float) -> None:
    pose = pose_of(seen(FRONT, degrees))
    assert math.remainder(pose.roll - degrees, 360) == pytest.approx(0, abs=0.6)
    top = layer_to_frame(STICKERS["party-hat"][0], pose).of(110, 20)
    away = (top[0] - pose.x, top[1] - pose.y)
    up = (math.sin(math.radians(degrees)), -math.cos(math.radians(degrees)))
    assert away[0] * up[0] + away[1] * up[1] > 2.5 * pose.size


@pytest.mark.parametrize("scale", [0.1, 0.5, 3])
def test_stickers_grow_with_the_face(scale: float) -> None:
    assert pose_of(seen(FRONT, scale=scale)).size == pytest.approx(
        scale * pose_of(seen(FRONT)).size, rel=1e-6
    )


@pytest.mark.parametrize("name", STICKERS)
def test_jitter_of_a_landmark_hardly_moves_a_sticker(name: str) -> None:
    steady, jittered = seen(FRONT, 10), seen(((-49.5, 0.5), *FRONT[1:]), 10)
    for layer in STICKERS[name]:
        a, b = layer_to_frame(layer, pose_of(steady)), layer_to_frame(layer, pose_of(jittered))
        corner = (0.0, 0.0)
        assert math.dist(a.of(*corner), b.of(*corner)) < 3


def test_sunglasses_lie_on_the_eyes_and_a_hat_above_them() -> None:
    pose = pose_of(seen(FRONT))
    glasses = layer_to_frame(STICKERS["sunglasses"][0], pose)
    for lens in ((92.0, 54.0), (208.0, 54.0)):
        eye = min((math.dist(glasses.of(*lens), (x, 500)) for x in (450, 550)), default=0)
        assert eye < 12
    for name in ("party-hat", "crown"):
        layer = STICKERS[name][0]
        assert layer_to_frame(layer, pose).of(*layer.origin)[1] < 500 - 0.9 * pose.size


def test_a_dog_has_two_ears_side_by_side() -> None:
    left, right, _ = (layer_to_frame(layer, pose_of(seen(FRONT))) for layer in STICKERS["dog"])
    inner = (126.0, 138.0)
    assert left.of(*inner)[0] < 500 < right.of(*inner)[0]
    assert left.of(*inner)[0] - 500 == pytest.approx(500 - right.of(*inner)[0])


def test_the_scale_option_keeps_the_origin() -> None:
    layer, pose = STICKERS["sunglasses"][0], pose_of(seen(FRONT))
    assert layer_to_frame(layer, pose, 2.0).of(*layer.origin) == pytest.approx(
        layer_to_frame(layer, pose).of(*layer.origin)
    )
    assert layer_to_frame(layer, pose, 2.0).scale == pytest.approx(
        2 * layer_to_frame(layer, pose).scale
    )


FLAT = Layer("sunglasses", (150, 54), (0.0, 0.0, 0.2))


@pytest.mark.parametrize("yaw", [-70, -40, 0, 40, 70])
def test_a_flat_layer_foreshortens_and_moves_with_the_yaw(yaw: float) -> None:
    pose = HeadPose(200, 300, 100, yaw)
    to_frame = layer_to_frame(FLAT, pose)
    left, right = to_frame.of(50, 54), to_frame.of(250, 54)
    assert right[0] - left[0] == pytest.approx(200 * math.cos(math.radians(yaw)))
    assert (left[1], right[1]) == pytest.approx((300, 300))
    assert to_frame.of(150, 54)[0] == pytest.approx(200 + 20 * math.sin(math.radians(yaw)))
    assert to_frame.of(150, 154)[1] - to_frame.of(150, 54)[1] == pytest.approx(100)


@pytest.mark.parametrize("yaw", [-80, -30, 0, 50, 90])
@pytest.mark.parametrize("roll", [-100, 0, 35])
def test_a_round_layer_keeps_its_width_at_any_yaw(yaw: float, roll: float) -> None:
    hat = replace(FLAT, place=(0.0, -1.0, -0.5), roundness=1.0)
    turned, front = (
        layer_to_frame(hat, HeadPose(200, 300, 100, yaw, 12, roll)),
        layer_to_frame(hat, HeadPose(200, 300, 100, 0, 12, roll)),
    )
    assert (turned.xx, turned.xy, turned.yx, turned.yy) == pytest.approx(
        (front.xx, front.xy, front.yx, front.yy)
    )


def test_a_layer_may_be_turned_against_the_face() -> None:
    """Turned by 30 degrees on a head with a yaw of -30, it is frontal; so with tilt and pitch."""
    ear = layer_to_frame(replace(FLAT, turn=30), HeadPose(200, 300, 100, yaw=-30))
    assert (ear.xx, ear.yy, ear.xy, ear.yx) == pytest.approx((1, 1, 0, 0), abs=1e-9)
    cap = layer_to_frame(replace(FLAT, tilt=25), HeadPose(200, 300, 100, pitch=25))
    assert (cap.xx, cap.yy, cap.xy, cap.yx) == pytest.approx((1, 1, 0, 0), abs=1e-9)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("yaw", "least", "most"), [(0, 1, 1), (55, 1, 1), (66, 0.3, 0.7), (75, 0, 0), (130, 0, 0)]
)
def test_a_layer_fades_as_it_turns_away(
    mirrored: bool, yaw: float, least: float, most: float
) -> None:
    layer = replace(FLAT, mirrored=mirrored)
    pose = HeadPose(200, 300, 100, yaw)
    assert least <= layer_opacity(layer, layer_to_frame(layer, pose, 1.5), 150) <= most


@pytest.mark.parametrize("by_option", [True, False], ids=["option", "face"])
def test_opacity_blends_a_sticker_with_the_frame(by_option: bool) -> None:
    """The opacity is that of the option or that of the face, whose track may be ending."""
    painted = {}
    for opacity in (1.0, 0.5, 0.0):
        frame = noise(200, 200)
        painter = painter_of(f"me-gusta:opacity={opacity if by_option else 1.0}")
        painter.paint(
            frame, [replace(face_at(100, 100, 90), opacity=1.0 if by_option else opacity)]
        )
        painted[opacity] = frame
    assert same(painted[0.0], noise(200, 200))
    middle = (painted[1.0].y.astype(int) + painted[0.0].y) / 2
    assert np.abs(painted[0.5].y - middle).max() <= 3


@pytest.mark.parametrize(
    "name",
    sorted({name for layers in STICKERS.values() for layer in layers for name in layer.assets}),
)
def test_every_drawing_fits_its_view_box_and_the_scale_of_eyes_100_apart(name: str) -> None:
    assert 'viewBox="0 0 ' in asset(name)
    artwork = svg_artwork(name)
    assert 0.2 * UNITS < artwork.width < 4.2 * UNITS
    # Nothing is cut off by the view box.
    assert artwork.left > 0
    assert artwork.top > 0


def square(colour: tuple[int, int, int], side: int = 64) -> Artwork:
    """An opaque square of one colour with a transparent rim; its units are px."""
    rgba = np.zeros((side + 8, side + 8, 4), np.uint8)
    rgba[4:-4, 4:-4] = (*colour, 255)
    return Artwork(rgba)


@pytest.mark.parametrize("x", [20.0, 21.0, 21.5])
@pytest.mark.parametrize("y", [30.0, 31.0, 30.25])
def test_odd_and_fractional_positions_do_not_shift_the_colour(x: float, y: float) -> None:
    """Chroma samples are shared: the square's px and those around it keep their colours."""
    grey = np.full((120, 140), 100, np.uint8)
    frame = Planes(grey, np.full((60, 70), 128, np.uint8), np.full((60, 70), 128, np.uint8), 1, 1)
    blit(frame, square((220, 30, 40)), Affine.shift(x, y))
    rgb = frame.to_rgb().astype(int)
    top, left = math.ceil(y + 4), math.ceil(x + 4)
    inside = rgb[top + 2 : top + 60, left + 2 : left + 60]
    assert np.abs(inside - (220, 30, 40)).max() <= 4
    outside = np.ones((120, 140), bool)
    outside[top - 3 : top + 67, left - 3 : left + 67] = False
    assert np.ptp(rgb[outside], axis=0).max() == 0
    weights = np.abs(frame.v.astype(float) - 128)
    rows, columns = np.indices(frame.v.shape)
    assert (weights * (2 * columns + 1)).sum() / weights.sum() == pytest.approx(x + 36, abs=0.35)
    assert (weights * (2 * rows + 1)).sum() / weights.sum() == pytest.approx(y + 36, abs=0.35)


def test_a_small_sticker_does_not_shimmer() -> None:
    """Subpixel motion hardly changes the brightness of a sticker 30 px wide."""
    means = []
    for step in range(8):
        frame = Planes(
            np.full((90, 90), 128, np.uint8),
            *(np.full((45, 45), 128, np.uint8) for _ in "uv"),
            1,
            1,
        )
        painter_of("me-gusta").paint(frame, [face_at(45 + step / 8, 45 + step / 11, 28)])
        means.append(frame.y.mean())
    assert np.ptp(means) < 0.5


def test_a_sticker_covers_the_box_and_a_banner_stays_bounded() -> None:
    frame = noise(600, 600)
    face = face_at(300, 300, 100)
    rgba = np.full((50, 50, 4), 255, np.uint8)
    (rect,) = UserSticker(Artwork(rgba), 1.0).paint(frame, face, 0.0)
    assert rect.x1 <= face.box[0] <= face.box[2] <= rect.x2
    assert rect.y1 <= face.box[1] <= face.box[3] <= rect.y2
    (banner,) = UserSticker(Artwork(np.full((50, 500, 4), 255, np.uint8)), 1.0).paint(
        frame, face, 0.0
    )
    assert banner.x2 - banner.x1 < 2 * face.width


@pytest.mark.parametrize(
    "name", [name for name, kind in CATALOGUE.items() if not kind.redacts and name != "sticker"]
)
def test_the_scale_option_enlarges_every_filter(name: str) -> None:
    frame, large = noise(400, 400), noise(400, 400)
    face = face_at(200, 220, 60)
    plain = painter_of(name).paint(frame, [face])
    grown = make_painter(parse_look([f"{name}:scale=2"]), {}).paint(large, [face])
    assert grown[0].size[0] > 1.6 * plain[0].size[0]
