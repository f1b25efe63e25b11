"""Still images: detect and paint one, and write it in its own format."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
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
from facepaint.records.faces import Candidate, Faces, FrameFaces
from facepaint.records.job import Job
from facepaint.records.results import Painted
from filters.face import Face
from filters.planes import Planes
from filters.registry import Painter
from filters.scene_light import SceneLight
from models import DetectorModel, shipped_model
from models.providers import AUTO, Runtime
from models.rotated import merged
from tasks.detector_cache import load_search
from tasks.image_metadata import orientation, save_options
from tasks.stopwatch import Stopwatch
from tasks.tracking.tracker import faces_of_image
from tasks.video.painter import Result, detected_times, painter_for, valid_faces

JPEG_QUALITY = 92
"""Of JPEGs whose own quantization tables cannot be kept, on the scale of libjpeg."""

WEBP_QUALITY = 90
"""Of lossy WebP."""

WEBP_EFFORT = 80
"""Of lossless WebP, whose quality is the effort of compression."""

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""By the format of the result: see `result_format`."""

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation. 5 and above swap its sides."""

GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16"})
"""Pillow's modes of images without colours."""

Pixels = npt.NDArray[np.uint8]


@dataclass(slots=True)
class DecodedImage:
    """An image and its pixels, upright.

    Args:
        file: closed; it still has the facts of its header.
        rgb: (height, width, 3) uint8.
        alpha: (height, width) uint8, or None.
        orientation: that of the file, as in EXIF.
        converted: whether ``rgb`` was converted to sRGB, so that the file's profile does not apply.
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
    """Detect the faces of an image file. Its only frame has the pts ``index``.

    Args:
        model: the job's detector, unless it is shipped.

    Raises:
        UnreadableMedia: it is no JPEG, PNG, WebP or GIF, or too large.
    """
    clock = Stopwatch()
    with clock.stage("decode"):
        image = _decode(data, index)
    with clock.stage("load"):
        height, width = image.rgb.shape[:2]
        model = model or shipped_model(job.detector.name)
        # The next image may have another size, and then another detector.
        search = load_search(
            model, job.detector.min_face, (width, height), replace(runtime, batch=1)
        )
    detector = search.upright
    with clock.stage("scale"):
        size = (detector.size.width, detector.size.height)
        small = _scaled(image.rgb, size)
        alpha = None if image.alpha is None else _scaled(image.alpha, size)
    with clock.stage("detect"):
        upright: list[Sequence[Candidate]] = []
        turned: list[list[Candidate]] = []
        for appearance in _appearances(small, alpha):
            planes = appearance[..., 2], appearance[..., 1], appearance[..., 0]
            (faces,) = detector.detect([planes])
            upright.append(faces)
            turned += search.in_all_turns(planes)
    frames = (FrameFaces(index, faces=merged(upright, turned)),)
    return Faces(
        index, frames, detector.name, detector.device, worker=worker, times_s=clock.times_s
    )


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _appearances(rgb: Pixels, alpha: Pixels | None) -> Iterator[Pixels]:
    """What programs may show of an image: RGB of shape (height, width, 3).

    A face may be in the colours, in the transparency, or in both; some programs drop alpha.
    """
    if alpha is None or alpha.min() == 255:
        yield rgb
        return
    # Of transparent px no program should show the colours, and a redaction removes them.
    yield np.where(alpha[..., None] > 0, rgb, 128).astype(np.uint8)
    opacity = alpha[..., None].astype(np.float32) / 255
    for background in (0, 255):
        yield np.asarray(rgb * opacity + background * (1 - opacity), np.uint8)


def paint_image(
    look: Look,
    index: int,
    data: bytes,
    faces: Faces | None,
    stickers: Mapping[str, bytes],
    worker: str = "",
    card: DetectorCard | None = None,
) -> Result:
    """Paint an image file, upright, in its own format (a GIF becomes a PNG).

    With a look that does not redact, a file without anything to paint is returned byte for byte. A
    redacting look covers all of an image whose faces are not known, and keeps no metadata but the
    meaning of the colours.

    Args:
        faces: the detections; None if detection failed.
        stickers: the bytes of the look's images by sha256.
        card: of the detector of ``faces``.

    Raises:
        UnreadableMedia: it is no JPEG, PNG, WebP or GIF, or too large.
    """
    clock = Stopwatch()
    valid = faces and valid_faces(faces)
    is_known = detected_times(valid) == {index}
    to_paint = faces_of_image(valid, look.redacts, card) if valid else []
    with clock.stage("decode"):
        image = _decode(data, index)
    height, width = image.rgb.shape[:2]
    painter = painter_for(look, stickers, (width, height), hashlib.sha256(data).digest())
    kind = result_format(image.file)
    same_format = kind == image_format(image.file)
    is_copied = not look.redacts and not painter.touches(to_paint) and same_format
    if not is_copied:
        with clock.stage("paint"):
            _paint(image, look, painter, to_paint, is_known=is_known)
        with clock.stage("encode"):
            data = _encode(image, data, kind, redacts=look.redacts)
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
        encoder="copied" if is_copied else "pillow",
        worker=worker,
        faces=len(to_paint),
        times_s=clock.times_s,
    )
    return Result(data, record)


def result_format(image: Image.Image) -> str:
    """The format of the result, one of `SUFFIXES`: the image's own, and PNG for a GIF, whose 256
    colours are too few for paint."""
    kind = image_format(image)
    return "PNG" if kind == "GIF" else kind


def _decode(data: bytes, index: int) -> DecodedImage:
    with open_image(data, f"image {index}", formats=IMAGE_FORMATS) as file:
        file.load()
        has_alpha = "A" in file.getbands() or "transparency" in file.info
        is_cmyk = file.mode == "CMYK"
        if is_cmyk:
            pixels = _from_cmyk(file)
        else:
            pixels = to_8_bits(file).convert("RGBA" if has_alpha else "RGB")
        # Frees the pixels of the file: a large image is held once less.
        file.close()
    turn = orientation(file.info.get("exif", b""))
    upright = np.asarray(pixels.transpose(TRANSPOSES[turn]) if turn in TRANSPOSES else pixels)
    del pixels
    # Copies: they are painted on, and OpenCV needs contiguous arrays.
    alpha = upright[..., 3].copy() if has_alpha else None
    return DecodedImage(file, upright[..., :3].copy(), alpha, turn, converted=is_cmyk)


def _from_cmyk(file: Image.Image) -> Image.Image:
    """A CMYK image as sRGB, by its profile if it has a readable one."""
    profile = file.info.get("icc_profile")
    if profile:
        try:
            cmyk = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                file, cmyk, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            # Without a profile CMYK is a guess in any case.
            pass
        else:
            assert converted is not None
            return converted
    return file.convert("RGB")


def _paint(
    image: DecodedImage, look: Look, painter: Painter, faces: list[Face], *, is_known: bool
) -> None:
    if look.redacts and not is_known:
        planes = Planes.from_rgb(image.rgb)
        painter.cover(planes)
        image.rgb, image.alpha = planes.to_rgb(), None
    elif painter.touches(faces):
        _paint_regions(image, painter, faces)
    if look.redacts and image.alpha is not None:
        # Colours of transparent pixels are invisible, but a program that drops alpha shows them.
        image.rgb[image.alpha == 0] = 0


def _paint_regions(image: DecodedImage, painter: Painter, faces: list[Face]) -> None:
    """Paint on a 4:4:4 copy and take back only the painted regions: every other pixel stays as it
    was decoded."""
    if image.alpha is not None:
        _paint_transparent(image, image.alpha, painter, faces)
        return
    planes = Planes.from_rgb(image.rgb)
    for region in painter.paint(planes, faces):
        image.rgb[region.slices] = planes.to_rgb(region)


def _paint_transparent(
    image: DecodedImage, alpha: Pixels, painter: Painter, faces: list[Face]
) -> None:
    """Paint the image on black and on white, and derive colours and alpha from both results.

    So alpha is painted like a colour: the shape of a face may be in it. There is no noise, which
    would be clipped at black and white and show in transparent parts.
    """
    painter = painter.with_noise_secret(None)
    opacity = cv2.merge((alpha, alpha, alpha))
    shown = np.asarray(cv2.multiply(image.rgb, opacity, scale=1 / 255), np.uint8)
    kept = [np.full(alpha.shape, 255, np.uint8) for _ in range(3)]
    black = replace(Planes.from_rgb(shown), kept_share=(kept[0], kept[1], kept[2]))
    white = Planes.from_rgb(np.asarray(cv2.add(shown, cv2.bitwise_not(opacity)), np.uint8))
    # The same light for both: they may only differ in what shows through.
    scene = SceneLight.of_frame(white)
    painter.paint(white, faces, scene=scene)
    for region in painter.paint(black, faces, scene=scene):
        opaque = 255 - cv2.subtract(white.luma(region), black.luma(region))
        scale = 255 / np.maximum(opaque, 1).astype(np.float32)
        colours = black.to_rgb(region) * scale[..., None]
        touched = kept[0][region.slices] < 255
        image.rgb[region.slices][touched] = np.clip(np.rint(colours), 0, 255)[touched]
        alpha[region.slices][touched] = opaque[touched]


def _encode(image: DecodedImage, data: bytes, kind: str, *, redacts: bool) -> bytes:
    result, is_grey = _pillow_image(image)
    options = save_options(image.file, data, redacts=redacts)
    was_grey = image.file.mode in GREY_MODES
    if image.converted or (was_grey and not is_grey):
        # A profile of grey or of CMYK does not apply to RGB.
        options.pop("icc_profile", None)
    if kind == "JPEG":
        return _jpeg(result, options | _jpeg_options(image))
    if kind == "WEBP":
        options |= _webp_options(data, redacts=redacts)
    return _saved(result, kind, options)


def _pillow_image(image: DecodedImage) -> tuple[Image.Image, bool]:
    """The pixels for Pillow, and whether they are grey: those of a grey file without coloured
    paint."""
    rgb = image.rgb
    is_grey = image.file.mode in GREY_MODES and bool((rgb == rgb[..., :1]).all())
    result = Image.fromarray(np.ascontiguousarray(rgb[..., 0] if is_grey else rgb))
    if image.alpha is not None:
        result.putalpha(Image.fromarray(image.alpha))
    return result, is_grey


def _jpeg(result: Image.Image, options: dict[str, Any]) -> bytes:
    try:
        return _saved(result, "JPEG", options)
    except OSError:
        # libjpeg writes an optimized or progressive file at once, into a buffer whose size Pillow
        # estimates. For noise it is too small.
        return _saved(result, "JPEG", options | {"optimize": False, "progressive": False})


def _saved(result: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    result.save(out, kind, **options)
    return out.getvalue()


def _webp_options(data: bytes, *, redacts: bool) -> dict[str, Any]:
    lossless = is_lossless_webp(data)
    return {
        "lossless": lossless,
        # Keeps the colours of transparent pixels, which a redaction has removed.
        "exact": lossless and not redacts,
        "quality": WEBP_EFFORT if lossless else WEBP_QUALITY,
    }


def _jpeg_options(image: DecodedImage) -> dict[str, Any]:
    """Options that encode a JPEG as its source: unpainted parts and its size hardly change."""
    file: Any = image.file
    options: dict[str, Any] = {"optimize": True, "progressive": bool(file.info.get("progressive"))}
    # A table may be stored as late as before the scan that needs it, where Pillow does not read it.
    if not _is_ycbcr(file) or any(layer[3] not in file.quantization for layer in file.layer):
        return options | {"quality": JPEG_QUALITY, "subsampling": "4:4:4"}
    tables = [file.quantization[layer[3]] for layer in file.layer[:2]]
    sampling = max(0, get_sampling(file))
    if image.orientation >= 5:
        # The sides are swapped, so the tables are transposed.
        tables = [[table[8 * (at % 8) + at // 8] for at in range(64)] for table in tables]
        # Pillow has 4:2:2 (1) but not 4:4:0, so that becomes 4:4:4 (0).
        sampling = 0 if sampling == 1 else sampling
    return options | {"qtables": tables, "subsampling": sampling}


def _is_ycbcr(file: Any) -> bool:
    """Whether a JPEG is grey or YCbCr, not RGB or CMYK, by the rules of libjpeg."""
    channels = bytes(layer[0] for layer in file.layer)
    if len(channels) != 3:
        return len(channels) == 1
    is_rgb = file.info.get("adobe_transform") == 0 or channels == b"RGB"
    return "jfif" in file.info or not is_rgb
