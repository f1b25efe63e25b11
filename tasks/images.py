"""Still pictures: detect and paint one, and give it back in its own format."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import get_sampling

from facepaint.looks.look import Look
from facepaint.media.images import (
    IMAGE_FORMATS,
    image_format,
    is_lossless_webp,
    open_image,
    to_8_bits,
)
from facepaint.records.detector_card import DetectorCard
from facepaint.records.faces import Faces, FrameFaces
from facepaint.records.job import Job
from facepaint.records.results import Painted
from filters.face import Face
from filters.planes import Planes
from filters.registry import Painter
from filters.scene_light import SceneLight
from models import DetectorModel, shipped_model
from models.providers import AUTO, Runtime
from tasks.detector_cache import load_detector
from tasks.image_metadata import orientation, save_options
from tasks.stopwatch import Stopwatch
from tasks.tracking.tracker import faces_of_image
from tasks.video.painter import Result, detected_times, painter_for, valid_faces

JPEG_QUALITY = 92
"""Of JPEGs whose own quantisation cannot be taken over, on the scale of libjpeg."""

WEBP_QUALITY = 90

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""By the format of the result: see `result_format`."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation; 5 and above swap its sides."""

GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16"})
"""Pillow's names for pictures without colours."""

Pixels = npt.NDArray[np.uint8]


@dataclass(slots=True)
class Opened:
    """A picture and its pixels, upright: ``rgb`` of shape (height, width, 3), ``alpha`` (height,
    width) if it has any.

    ``file`` is closed and keeps what its header told. ``converted`` says that its colour profile
    does not hold for
    ``rgb``, which is sRGB.
    """

    file: Image.Image
    rgb: Pixels
    alpha: Pixels | None
    orientation: int
    converted: bool


def detect_image(
    job: Job,
    index: int,
    data: bytes,
    runtime: Runtime = AUTO,
    worker: str = "",
    model: DetectorModel | None = None,
) -> Faces:
    """Find the faces in a picture file; its one frame has pts ``index``. ``model`` as in
    `tasks.detect`.

    Raises:
        UnreadableMedia: it is no JPEG, PNG, WebP or GIF, or too large.
    """
    clock = Stopwatch()
    with clock.stage("decode"):
        picture = _open(data, index)
    with clock.stage("load"):
        height, width = picture.rgb.shape[:2]
        model = model or shipped_model(job.detector.name)
        # The next picture may have another size, and then another detector.
        detector = load_detector(
            model, job.detector.min_face, width, height, replace(runtime, batch=1)
        )
    with clock.stage("scale"):
        size = (detector.size.width, detector.size.height)
        small = np.asarray(cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    with clock.stage("detect"):
        found = detector.detect([(small[..., 2], small[..., 1], small[..., 0])])
        if picture.alpha is not None and not found[0]:
            alpha = np.asarray(
                cv2.resize(picture.alpha, size, interpolation=cv2.INTER_AREA), np.uint8
            )
            drawn = _on_paper(small, alpha)
            found = detector.detect([(drawn[..., 2], drawn[..., 1], drawn[..., 0])])
    frames = (FrameFaces(index, faces=found[0]),)
    return Faces(
        index, frames, detector.name, detector.device, worker=worker, times_s=clock.times_s
    )


def _on_paper(rgb: Pixels, alpha: Pixels) -> Pixels:
    """A picture that is drawn in its transparency as it is meant to be seen: dark ink on white,
    light ink on black."""
    paper = 255 if cv2.mean(rgb, mask=alpha)[1] < 128 else 0
    share = alpha[..., None].astype(np.float32) / 255
    return np.asarray(rgb * share + paper * (1 - share), np.uint8)


def paint_image(
    look: Look,
    index: int,
    data: bytes,
    faces: Faces | None,
    stickers: Mapping[str, bytes],
    worker: str = "",
    card: DetectorCard | None = None,
) -> Result:
    """Paint a picture file, upright, in its own format (a GIF becomes a PNG).

    ``card`` is of the detector that found the faces.

    A look that does not hide gives a picture that there is nothing to paint on back as it came. One
    that hides covers all of a picture whose faces are not known, and lets nothing of the file's
    metadata through but what its colours mean.

    Raises:
        UnreadableMedia: it is no JPEG, PNG, WebP or GIF, or too large.
    """
    clock = Stopwatch()
    found = faces and valid_faces(faces)
    known = detected_times(found) == {index}
    here = faces_of_image(found, look.redacts, card) if found else []
    with clock.stage("decode"):
        picture = _open(data, index)
    height, width = picture.rgb.shape[:2]
    painter = painter_for(look, stickers, (width, height), hashlib.sha256(data).digest())
    kind = result_format(picture.file)
    as_it_came = (
        not look.redacts and not painter.touches(here) and kind == image_format(picture.file)
    )
    if not as_it_came:
        with clock.stage("paint"):
            _paint(picture, look, painter, here, known=known)
        with clock.stage("encode"):
            data = _encode(picture, data, kind, redacts=look.redacts)
    sha256 = hashlib.sha256(data).hexdigest()
    record = Painted(
        index=index,
        name=f"{index:06d}-{sha256[:12]}.{SUFFIXES[kind]}",
        frames=1,
        bytes=len(data),
        sha256=sha256,
        init_bytes=0,
        start=index,
        end=index + 1,
        codec=f"image/{kind.lower()}",
        encoder="copied" if as_it_came else "pillow",
        worker=worker,
        faces=len(here),
        times_s=clock.times_s,
    )
    return Result(data, record)


def result_format(picture: Image.Image) -> str:
    """One of `SUFFIXES`: the picture's own, and PNG for a GIF, whose 256 colours have no room for
    paint."""
    kind = image_format(picture)
    return "PNG" if kind == "GIF" else kind


def _open(data: bytes, index: int) -> Opened:
    with open_image(data, f"picture {index}", formats=IMAGE_FORMATS) as file:
        file.load()
        has_alpha = "A" in file.getbands() or "transparency" in file.info
        inks = file.mode == "CMYK"
        plain = (
            _from_cmyk(file) if inks else to_8_bits(file).convert("RGBA" if has_alpha else "RGB")
        )
        file.close()  # a large picture's pixels are held once less
    turn = orientation(file.info.get("exif", b""))
    upright = np.asarray(plain.transpose(TURNS[turn]) if turn in TURNS else plain)
    del plain
    # Copies: they are painted on, and taken up by OpenCV, which wants them in one piece.
    alpha = upright[..., 3].copy() if has_alpha else None
    return Opened(file, upright[..., :3].copy(), alpha, turn, converted=inks)


def _from_cmyk(file: Image.Image) -> Image.Image:
    """A picture in inks as sRGB, by its profile if there is one that can be read."""
    profile = file.info.get("icc_profile")
    if profile:
        try:
            inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                file, inks, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            pass
        else:
            assert converted is not None
            return converted
    return file.convert("RGB")


def _paint(
    picture: Opened, look: Look, painter: Painter, faces: list[Face], *, known: bool
) -> None:
    if look.redacts and not known:
        planes = Planes.from_rgb(picture.rgb)
        painter.cover(planes)
        picture.rgb, picture.alpha = planes.to_rgb(), None
    elif painter.touches(faces):
        _paint_regions(picture, painter, faces)
    if look.redacts and picture.alpha is not None:
        # Nobody sees these colours, and a program that drops the transparency would show them.
        picture.rgb[picture.alpha == 0] = 0


def _paint_regions(picture: Opened, painter: Painter, faces: list[Face]) -> None:
    """Paint on a 4:4:4 copy and take back only what was painted: every other pixel stays as it was
    decoded."""
    if picture.alpha is not None:
        _paint_transparent(picture, picture.alpha, painter, faces)
        return
    planes = Planes.from_rgb(picture.rgb)
    for region in painter.paint(planes, faces):
        picture.rgb[region.slices] = planes.to_rgb(region)


def _paint_transparent(picture: Opened, alpha: Pixels, painter: Painter, faces: list[Face]) -> None:
    """Paint the picture as it shows on black and on white, and tell from how these differ what
    shows through.

    So alpha is painted like a colour: a face may be in it, too. Without noise, which would be cut
    off at black and white and show in what is transparent.
    """
    painter = painter.with_noise_secret(None)
    opacity = cv2.merge((alpha, alpha, alpha))
    shown = np.asarray(cv2.multiply(picture.rgb, opacity, scale=1 / 255), np.uint8)
    untouched = [np.full(alpha.shape, 255, np.uint8) for _ in range(3)]
    black = replace(Planes.from_rgb(shown), kept_share=(untouched[0], untouched[1], untouched[2]))
    white = Planes.from_rgb(np.asarray(cv2.add(shown, cv2.bitwise_not(opacity)), np.uint8))
    # One light for both: they may differ in what shows through alone.
    scene = SceneLight.of_frame(white)
    painter.paint(white, faces, scene=scene)
    for region in painter.paint(black, faces, scene=scene):
        whole = 255 - cv2.subtract(white.luma(region), black.luma(region))
        colours = black.to_rgb(region) * (255 / np.maximum(whole, 1).astype(np.float32))[..., None]
        touched = untouched[0][region.slices] < 255
        picture.rgb[region.slices][touched] = np.clip(np.rint(colours), 0, 255)[touched]
        alpha[region.slices][touched] = whole[touched]


def _encode(picture: Opened, data: bytes, kind: str, *, redacts: bool) -> bytes:
    file, rgb = picture.file, picture.rgb
    options = save_options(file, data, redacts=redacts)
    grey = file.mode in GREY_MODES and bool((rgb == rgb[..., :1]).all())
    if picture.converted or (file.mode in GREY_MODES and not grey):
        options.pop("icc_profile", None)  # the profile of grey or of inks says nothing about RGB
    pixels = rgb[..., 0] if grey else rgb
    result = Image.fromarray(np.ascontiguousarray(pixels))
    if picture.alpha is not None:
        result.putalpha(Image.fromarray(picture.alpha))
    if kind == "JPEG":
        options |= _quantisation(picture)
    elif kind == "WEBP":
        lossless = is_lossless_webp(data)
        options |= {
            "lossless": lossless,
            "exact": lossless and not redacts,
            "quality": 80 if lossless else WEBP_QUALITY,
        }
    try:
        return _saved(result, kind, options)
    except OSError:
        if kind != "JPEG":
            raise
        # What libjpeg optimises it writes in one go, into a buffer that Pillow guesses at: too
        # small for noise.
        return _saved(result, kind, options | {"optimize": False, "progressive": False})


def _saved(result: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    result.save(out, kind, **options)
    return out.getvalue()


def _quantisation(picture: Opened) -> dict[str, Any]:
    """Options that encode a JPEG as its source was: what is not painted on then hardly changes, nor
    does the size."""
    file: Any = picture.file
    options: dict[str, Any] = {"optimize": True, "progressive": bool(file.info.get("progressive"))}
    # A table may come as late as the scan it is for, where Pillow does not see it.
    if not _is_ycbcr(file) or any(layer[3] not in file.quantization for layer in file.layer):
        return options | {"quality": JPEG_QUALITY, "subsampling": "4:4:4"}
    tables = [file.quantization[layer[3]] for layer in file.layer[:2]]
    sampling = max(0, get_sampling(file))
    if picture.orientation >= 5:
        tables = [[table[8 * (at % 8) + at // 8] for at in range(64)] for table in tables]
        sampling = 0 if sampling == 1 else sampling  # Pillow has 4:2:2 but not 4:4:0
    return options | {"qtables": tables, "subsampling": sampling}


def _is_ycbcr(file: Any) -> bool:
    """Whether a JPEG is grey or YCbCr as those that are written here, not RGB or inks (rules as in
    libjpeg)."""
    as_rgb = file.info.get("adobe_transform") == 0 or [layer[0] for layer in file.layer] == list(
        b"RGB"
    )
    return len(file.layer) == 1 or (len(file.layer) == 3 and ("jfif" in file.info or not as_rgb))
