"""The labels of a folder under review: one picture's are read or written, the other lines stay as they are."""

import hashlib
import json
import shutil
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facepaint.errors import InputError, LabelsChanged, ServiceError
from facepaint.labels import (
    LABELS,
    LabelledPicture,
    line_of,
    picture_of,
    picture_path,
    read_lines,
    write_lines,
)

REVIEWED = "reviewed"
"""The picture's attribute that tells that somebody has looked at its labels and found them right."""

BACKUP = f"{LABELS}.orig"


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture's line, and what the list of pictures tells of it."""

    line: str
    faces: int
    lowest: float | None
    reviewed: bool

    @classmethod
    def make(cls, line: str, picture: LabelledPicture) -> "Entry":
        """The entry of a line that says ``picture``."""
        scores = [face.score for face in picture.faces if face.score is not None]
        return cls(line, len(picture.faces), min(scores, default=None), picture.attributes.get(REVIEWED) is True)

    @property
    def revision(self) -> str:
        """Names this state of the line: another one has another."""
        return hashlib.sha256(self.line.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class LabelFile:
    """The ``labels.jsonl`` of ``folder``, for several threads.

    It is read once and again whenever another program has changed it. Before the first change here it is copied to
    ``labels.jsonl.orig``; a copy that is there already stays.

    Raises:
        InputError: the folder has no labels, or they are not as they should be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / LABELS
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._entries = self._read()

    def entries(self) -> dict[str, Entry]:
        """All entries by the pictures' names, in the order of their lines.

        Raises:
            ServiceError: another program has changed the file, and it cannot be read.
        """
        with self._lock:
            self._refresh()
            return dict(self._entries)

    def path(self, image: str) -> Path:
        """Where a picture lies.

        Raises:
            KeyError: there are no labels of it.
        """
        return picture_path(self.folder, self._picture(self._entries[image]))

    def read(self, image: str) -> tuple[LabelledPicture, str]:
        """What the labels say of a picture, and the revision to change it by.

        Raises:
            KeyError: there are no labels of it.
            ServiceError: see `entries`.
        """
        with self._lock:
            self._refresh()
            entry = self._entries[image]
        return self._picture(entry), entry.revision

    def change(self, image: str, revision: str, faces: list[Any], *, reviewed: bool) -> str:
        """Write faces, as a line has them, and the mark as a picture's labels; what else is said of it stays.

        Returns the new revision. The file is replaced as a whole, or stays as it was.

        Raises:
            KeyError: there are no labels of it.
            LabelsChanged: its revision is another one by now.
            InputError: a face is not as it should be.
            ServiceError: the file cannot be written, or read after another program changed it.
        """
        with self._lock:
            self._refresh()
            entry = self._entries[image]
            if revision != entry.revision:
                raise LabelsChanged(f"the labels of {image} were changed by another; read them again")
            old = self._picture(entry)
            others = {name: value for name, value in old.attributes.items() if name != REVIEWED}
            new = replace(
                picture_of(json.dumps({"image": image, "faces": faces}), "the edit"),
                width=old.width,
                height=old.height,
                attributes={**others, REVIEWED: True} if reviewed else others,
            )
            changed = Entry.make(line_of(new), new)
            self._write({**self._entries, image: changed})
            return changed.revision

    def _picture(self, entry: Entry) -> LabelledPicture:
        return picture_of(entry.line, str(self._path))

    def _read(self) -> dict[str, Entry]:
        return {picture.image: Entry.make(line, picture) for line, picture in read_lines(self.folder)}

    def _refresh(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        try:
            self._entries = self._read()
        except InputError as exc:
            raise ServiceError(f"another program changed {exc}; nothing is saved until that is mended") from exc
        self._seen = signature

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:  # why it cannot be read is told by reading it
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _write(self, entries: dict[str, Entry]) -> None:
        try:
            self._keep_original()
            write_lines(self.folder, (entry.line for entry in entries.values()))
        except OSError as exc:
            raise ServiceError(f"{self._path} cannot be written: {exc.strerror or exc}") from exc
        self._entries = entries
        self._seen = self._signature()

    def _keep_original(self) -> None:
        backup = self.folder / BACKUP
        if backup.exists():
            return
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=f".{BACKUP}-") as folder:
            shutil.copy2(self._path, Path(folder) / BACKUP)
            (Path(folder) / BACKUP).replace(backup)
