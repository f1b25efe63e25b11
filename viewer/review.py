"""The review page's server: the labels of one folder and its pictures, for the browser on this machine.

Reading endpoints are plain functions, which Starlette runs in its thread pool.
"""

import io
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from facepaint.errors import FacepaintError, InputError, LabelsChanged, ServiceError
from facepaint.labels import LabelledPicture, line_of, picture_size
from facepaint.pictures import STILLS, in_8_bits, open_picture, picture_format
from facepaint.settings import Settings
from viewer.guard import Guard
from viewer.label_file import REVIEWED, LabelFile
from viewer.pages import NO_CACHE, NO_STORE, STATIC, asked_json, error_json, http_error
from viewer.serve import listen, listen_nearby, run_app

LOOPBACK = "127.0.0.1"

MAX_EDIT_BYTES = 16 << 20
"""Of one picture's labels: some 50,000 faces."""

THUMBNAIL_PX = 128

KEPT = {"Cache-Control": "private, max-age=86400"}
"""Of pictures: their URLs hold a token of this run of the server."""

STATUS_OF: dict[type[Exception], int] = {LabelsChanged: 412, InputError: 422, ServiceError: 503}


def review(folder: Path, on_ready: Callable[[str], None], port: int | None = None) -> None:
    """Serve the review page of a folder on this machine's own address until interrupted.

    ``on_ready`` gets the URL. ``port`` None takes the viewer's port or any free one.

    Raises:
        InputError: the folder has no labels, or they are not as they should be.
        UsageError: the port cannot be had.
    """
    app = make_review_app(LabelFile(folder))
    settings = Settings.load(viewer_host=LOOPBACK, viewer_port=port)
    run_app(app, listen(settings) if port is not None else listen_nearby(settings), on_ready)


def make_review_app(labels: LabelFile) -> Starlette:
    """The ASGI app; it answers under loopback names only."""
    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/api/folder", _folder),
            Route("/api/picture", _read, methods=["GET"]),
            Route("/api/picture", _change, methods=["PUT"]),
            Route("/picture", _picture),
            Route("/thumbnail", _thumbnail),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, host=LOOPBACK)],
        exception_handlers={FacepaintError: _our_error, HTTPException: http_error},
    )
    app.state.labels = labels
    app.state.run = secrets.token_hex(8)
    return app


def _our_error(_: Request, exc: Exception) -> Response:
    return error_json(exc, STATUS_OF)


def _page(_: Request) -> Response:
    return FileResponse(STATIC / "review.html", headers=NO_CACHE)


def _folder(request: Request) -> Response:
    """The list of pictures, lean: name, number of faces, lowest score, reviewed."""
    labels = _labels(request)
    pictures = [[image, one.faces, one.lowest, one.reviewed] for image, one in labels.entries().items()]
    path = labels.folder.resolve()
    told = {"name": path.name or str(path), "path": str(path), "run": request.app.state.run, "pictures": pictures}
    return JSONResponse(told, headers=NO_STORE)


def _read(request: Request) -> Response:
    """One picture's labels; the ETag is the revision to give when they are changed."""
    labels, image = _labels(request), _image(request)
    picture, revision = labels.read(image)
    width, height = picture_size(labels.folder, picture)
    told = {
        "image": image,
        "width": width,
        "height": height,
        "faces": _faces_out(picture),
        "reviewed": picture.attributes.get(REVIEWED) is True,
    }
    return JSONResponse(told, headers={**NO_STORE, "ETag": f'"{revision}"'})


async def _change(request: Request) -> Response:
    """Change one picture's labels if they are still those of If-Match (RFC 9110)."""
    body = await asked_json(request, "labels", MAX_EDIT_BYTES)
    revision = request.headers.get("if-match", "").strip('"')
    if not revision:
        raise HTTPException(428, "If-Match names the revision that is to be changed")

    def change() -> str:
        faces, reviewed = _faces_in(body)
        return _labels(request).change(_image(request), revision, faces, reviewed=reviewed)

    return JSONResponse({"saved": True}, headers={**NO_STORE, "ETag": f'"{await run_in_threadpool(change)}"'})


def _picture(request: Request) -> Response:
    """A picture as it is, by the type its data have: never what a browser would run, such as SVG."""
    path = _labels(request).path(_image(request))
    with open_picture(path, path.name, formats=STILLS) as picture:
        mime = Image.MIME[picture_format(picture)]
    return FileResponse(path, media_type=mime, headers=KEPT)


def _thumbnail(request: Request) -> Response:
    """A small JPEG of a picture, upright."""
    path = _labels(request).path(_image(request))
    with open_picture(path, path.name, formats=STILLS) as picture:
        picture.draft("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))
        upright = ImageOps.exif_transpose(in_8_bits(picture))
        upright.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        file = io.BytesIO()
        upright.convert("RGB").save(file, "JPEG", quality=82)
    return Response(file.getvalue(), media_type="image/jpeg", headers=KEPT)


def _labels(request: Request) -> LabelFile:
    labels: LabelFile = request.app.state.labels
    return labels


def _image(request: Request) -> str:
    """The picture that is asked for: one that the labels name, so that no other file can be had."""
    image = request.query_params.get("image", "")
    if image not in _labels(request).entries():
        raise HTTPException(404, f"there are no labels of '{image}' in this folder; reload the page")
    return image


def _faces_out(picture: LabelledPicture) -> list[dict[str, Any]]:
    """The faces as a line has them, but attributes as text: a browser would round large numbers in them."""
    faces: list[dict[str, Any]] = json.loads(line_of(picture))["faces"]
    return [{**face, "attributes": json.dumps(face["attributes"])} if "attributes" in face else face for face in faces]


def _faces_in(body: bytes) -> tuple[list[Any], bool]:
    """Faces, as a line has them, and the mark, of what the page sends."""
    try:
        told = json.loads(body)
        faces, reviewed = list(told["faces"]), told["reviewed"]
        for face in faces:
            if "attributes" in face:
                face["attributes"] = json.loads(face["attributes"])
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise HTTPException(422, f"an edit is faces and whether they are reviewed: {exc!r}") from exc
    if not isinstance(reviewed, bool):
        raise HTTPException(422, "reviewed is true or false")
    return faces, reviewed
