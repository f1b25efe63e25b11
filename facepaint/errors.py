"""All errors that facepaint raises on purpose, in one tree, split by what the caller should do.

    FacepaintError
    ├── UsageError            the command is wrong: correct it                    exit 2
    │   ├── MissingExtra      an optional part is not installed: install it
    │   └── DeviceError       the requested compute device is missing
    │       └── EncoderMissing  this machine does not have the job's encoder
    ├── InputError            the file, image or job cannot be used               exit 3
    │   ├── UnreadableMedia   the bytes cannot be decoded: do not retry
    │   │   └── NotAnImage    the file is not a still image
    │   └── UnknownJob
    ├── ServiceError          storage or broker unreachable: wait and retry       exit 4
    │   ├── StoreUnreachable
    │   └── QueueUnreachable
    ├── PartialProgress       progress is saved: requeue the rest
    ├── JobError              the job failed or is incomplete                     exit 5
    │   └── JobDeleted        the job was deleted: stop, remove what was written
    ├── ObjectMissing         there is no object with this key
    ├── ObjectDamaged         an object's checksum is not the recorded one        exit 5
    └── RecordInvalid         a stored record does not match its schema           exit 6

A message is one line: what failed, on which file or key, what to do next.
"""


class FacepaintError(Exception):
    """Base of every error that facepaint raises on purpose.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1


class UsageError(FacepaintError):
    """The command or an option is wrong; the user corrects it."""

    exit_code = 2


class MissingExtra(UsageError):
    """A command needs an optional part of the installation.

    Args:
        extra: the extra of the package that installs it.
        needed_for: the command or action.
        alternative: what the user can do instead, as an imperative.
    """

    def __init__(self, extra: str, needed_for: str, alternative: str = "") -> None:
        self.extra = extra
        choice = f", or {alternative}" if alternative else ""
        super().__init__(
            f"{needed_for} needs the extra '{extra}': install it from a checkout with "
            f"`pip install '.[{extra}]'`{choice}"
        )


class DeviceError(UsageError):
    """A compute device is selected by name and not available on this machine."""


class EncoderMissing(DeviceError):
    """A job's encoder is not on this machine."""

    def __init__(self, encoder: str, reason: str) -> None:
        self.encoder = encoder
        super().__init__(f"this machine cannot encode with {encoder}, {reason}")


class InputError(FacepaintError):
    """The input or the job that the user named cannot be processed."""

    exit_code = 3


class UnreadableMedia(InputError):
    """The bytes cannot be decoded; trying again would not help."""


class NotAnImage(UnreadableMedia):
    """The bytes are in none of the supported image formats."""


class UnknownJob(InputError):
    """The storage has no job with this id."""


class ServiceError(FacepaintError):
    """An outside service cannot be reached; waiting may help."""

    exit_code = 4


class StoreUnreachable(ServiceError):
    """The object storage does not answer or refuses the credentials."""


class QueueUnreachable(ServiceError):
    """The broker does not answer or refuses the credentials."""


class PartialProgress(FacepaintError):
    """A task has stored part of its result; the rest must be queued again."""


class JobError(FacepaintError):
    """The job failed or is incomplete."""

    exit_code = 5


class JobDeleted(JobError):
    """The job has a tombstone: stop, and delete what was written."""


class ObjectMissing(FacepaintError):
    """The storage has no object with this key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"nothing is stored under {key}")


class ObjectDamaged(FacepaintError):
    """An object's checksum is not the recorded one, however often it is read."""

    exit_code = 5

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key} is damaged in the storage: its sha256 differs")


class RecordInvalid(FacepaintError):
    """A stored record does not match the schema of its key."""

    exit_code = 6
