"""Store a user's stickers: checked before anything is stored, under their sha256."""

import hashlib
from dataclasses import replace
from pathlib import Path

from facepaint.errors import InputError
from facepaint.looks.look import FilterSpec, Look
from facepaint.media.images import open_image
from facepaint.media.open import check_file
from facepaint.records import keys
from facepaint.store import Store

MAX_PIXELS = 40_000_000
MAX_BYTES = 32 * 2**20


def store_stickers(look: Look, store: Store) -> Look:
    """The look with its sticker files stored, and named by sha256 instead of by path.

    Raises:
        InputError: a file is no image.
    """
    return replace(look, filters=tuple(_stored(spec, store) for spec in look.filters))


def _stored(spec: FilterSpec, store: Store) -> FilterSpec:
    if spec.path is None:
        return spec
    data = _read(Path(spec.path))
    sha256 = hashlib.sha256(data).hexdigest()
    # Jobs share stickers, and a key that is a digest needs no update.
    key = keys.sticker(sha256)
    if not store.exists(key):
        store.put(key, data)
    return spec.stored_as(sha256)


def _read(path: Path) -> bytes:
    check_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"sticker {path} has more than {MAX_BYTES >> 20} MiB; make it smaller")
    data = path.read_bytes()
    with open_image(data, f"sticker {path}", MAX_PIXELS) as image:
        image.load()
    return data
