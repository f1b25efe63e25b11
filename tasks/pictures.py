"""Still pictures: detect and paint one, and give it back in its own format."""

import hashlib
import io
from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from facepaint.jobs import Faces, FrameFaces, Job, Painted
from facepaint.looks import Look
from facepaint.pictures import in_8_bits, open_picture, picture_format
from filters.face import Face
from filters.planes import Planes
from filters.registry import Painter
from models.detector import Device
from tasks.detect import load_detector
from tasks.paint import Result, painter_for
from tasks.stopwatch import Stopwatch
from tasks.tracking import faces_of_picture

JPEG_QUALITY = 92
SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


def detect_picture(job: Job, index: int, data: bytes, device: Device, threads: int = 1, worker: str = "") -> Faces:
    """Find the faces in a picture file; its one frame has pts ``index``.

    Raises:
        UnreadableMedia: it is no JPEG, PNG or WebP, or too large.
    """
    clock = Stopwatch()
    with clock.stage("decode"):
        rgb = np.asarray(_open(data, index).convert("RGB"))
    with clock.stage("load"):
        detector = load_detector(job.detector, rgb.shape[1], rgb.shape[0], device, threads)
    with clock.stage("scale"):
        size = (detector.size.width, detector.size.height)
        small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    with clock.stage("detect"):
        found = detector.detect([(small[..., 2], small[..., 1], small[..., 0])])
    frames = (FrameFaces(index, faces=found[0]),)
    return Faces(index, frames, detector.name, detector.device, worker=worker, times_s=clock.times_s)


def paint_picture(
    look: Look,
    index: int,
    data: bytes,
    faces: Faces | None,
    stickers: Mapping[str, bytes],
    worker: str = "",
) -> Result:
    """Paint a picture file, upright, in its own format; without faces known, a hiding look covers all of it.

    With a hiding look nothing of the file's metadata survives but its colour profile.

    Raises:
        UnreadableMedia: it is no JPEG, PNG or WebP, or too large.
    """
    clock = Stopwatch()
    with clock.stage("decode"):
        picture = _open(data, index)
        alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
        rgb = np.array(picture.convert("RGB"))
    painter = painter_for(look, stickers)
    here = faces_of_picture(faces, look.hides) if faces else []
    with clock.stage("paint"):
        if faces is None and look.hides:
            planes = Planes.from_rgb(rgb)
            painter.cover(planes)
            rgb = planes.to_rgb()
            alpha = None
        elif painter.touches(here):
            _paint_regions(rgb, painter, here)
    with clock.stage("encode"):
        encoded = _save(rgb, alpha, picture, keep_exif=not look.hides)
    sha256 = hashlib.sha256(encoded).hexdigest()
    kind = str(picture.info["kind"])
    record = Painted(
        index=index,
        name=f"{index:06d}-{sha256[:12]}.{SUFFIXES[kind]}",
        frames=1,
        bytes=len(encoded),
        sha256=sha256,
        init_bytes=0,
        start=index,
        end=index + 1,
        codec=f"image/{kind.lower()}",
        encoder="pillow",
        worker=worker,
        faces=len(here),
        times_s=clock.times_s,
    )
    return Result(encoded, record)


def _paint_regions(rgb: npt.NDArray[np.uint8], painter: Painter, faces: list[Face]) -> None:
    """Paint on a 4:4:4 copy and take back only what was painted: every other pixel stays as it was decoded."""
    planes = Planes.from_rgb(rgb)
    for region in painter.paint(planes, faces):
        rgb[region.slices] = planes.to_rgb(region)


def _open(data: bytes, index: int) -> Image.Image:
    """The picture upright, as RGB or RGBA; ``info`` keeps its format as "kind"."""
    with open_picture(data, f"picture {index}") as opened:
        kind = picture_format(opened)
        upright = ImageOps.exif_transpose(opened)
        has_alpha = "A" in upright.getbands() or "transparency" in upright.info
        converted = in_8_bits(upright).convert("RGBA" if has_alpha else "RGB")
        # The profile of grey or CMYK says nothing about the RGB that it became.
        profile = upright.info.get("icc_profile") if upright.mode in {"RGB", "RGBA", "P", "PA"} else None
    converted.info = {**upright.info, "icc_profile": profile, "kind": kind}
    return converted


def _save(rgb: npt.NDArray[np.uint8], alpha: Image.Image | None, source: Image.Image, *, keep_exif: bool) -> bytes:
    picture = Image.fromarray(rgb)
    if alpha is not None:
        picture.putalpha(alpha)
    options: dict[str, object] = {}
    if source.info.get("icc_profile"):
        options["icc_profile"] = source.info["icc_profile"]
    if keep_exif and source.info.get("exif"):
        options["exif"] = source.info["exif"]
    kind = source.info["kind"]
    if kind == "JPEG":
        options |= {"quality": JPEG_QUALITY, "subsampling": "4:2:0" if rgb.size > 3_000_000 else "4:4:4"}
    elif kind == "WEBP":
        options |= {"quality": JPEG_QUALITY, "method": 4}
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
