"""Messages of our tasks, and mutated ones."""

import base64
import copy
import json
import random
from typing import Any

from facepaint.queue import DETECT, QUEUE_OF

JOB = "20261122T120000-abcdefgh"

Message = dict[str, Any]


def task_message(task: str = DETECT, **arguments: object) -> Message:
    """A message as `Queue` sends it."""
    arguments = arguments or {"job": JOB, "index": 0}
    return {
        "body": encoded([[], arguments, {"callbacks": None, "errbacks": None, "chain": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": "an-id", "eta": None, "expires": None},
        "properties": {
            "correlation_id": "an-id",
            "delivery_info": {"exchange": "", "routing_key": QUEUE_OF[task]},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "a-tag",
        },
    }


def encoded(body: object) -> str:
    """A body as it is in a message."""
    return base64.b64encode(json.dumps(body).encode()).decode()


def changed(path: str, value: object) -> bytes:
    """A good message with one value replaced, by its path with slashes."""
    message: Any = task_message()
    *folders, name = path.split("/")
    target = message
    for folder in folders:
        target = target[folder]
    target[name] = value
    return json.dumps(message).encode()


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "not-json": b"hello",
    "not-utf8": b"\xff\xfe\x00",
    "number": b"5",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "nested": b"[" * 50_000,
    "long-number": b"9" * 5000,
    "huge": json.dumps(task_message() | {"padding": "x" * 10**6}).encode(),
    "no-headers": changed("headers", None),
    "headers-list": changed("headers", []),
    "properties-text": changed("properties", "text"),
    "task-list": changed("headers/task", ["facepaint.detect"]),
    "task-object": changed("headers/task", {}),
    "task-unknown": changed("headers/task", "celery.backend_cleanup"),
    "body-number": changed("body", 5),
    "body-base64": changed("body", "%%%"),
    "body-padding": changed("body", "abc"),
    "body-5": changed("body", encoded(5)),
    "body-list": changed("body", encoded([])),
    "body-protocol-1": changed("body", encoded({"task": DETECT, "args": [], "kwargs": {}})),
    "body-positional": changed("body", encoded([[JOB, 0], {}, {}])),
    "body-nameless": changed("body", encoded([[], [], {}])),
}
"""Messages that are dropped where they arrive."""

HARMLESS: dict[str, bytes] = {
    "expires-object": changed("headers/expires", {}),
    "eta-far": changed("headers/eta", "9999-01-01T00:00:00"),
    "eta-list": changed("headers/eta", []),
    "id-number": changed("headers/id", 5),
    "id-lines": changed("headers/id", "a\nb"),
    "timelimit": changed("headers/timelimit", ["a", {}]),
    "stamps": changed("headers/stamped_headers", 7),
    "retries": changed("headers/retries", "many"),
    "pickle": changed("content-type", "application/x-python-serialize"),
    "encoding": changed("properties/body_encoding", "rot13"),
    "tag-object": changed("properties/delivery_tag", {}),
    "priority-text": changed("properties/priority", "high"),
    "delivery-null": changed("properties/delivery_info", None),
    "reply-to": changed("properties/reply_to", "detect"),
    "callbacks": changed(
        "body", encoded([[], {"job": JOB, "index": 0}, {"callbacks": [{"task": 5}], "chord": 5}])
    ),
}
"""Messages whose arguments are valid; what else is in them is ignored."""

FOREIGN_ARGUMENTS: tuple[dict[str, object], ...] = (
    {"job": JOB, "index": -1},
    {"job": JOB, "index": 10**30},
    {"job": JOB, "index": "0"},
    {"job": JOB, "index": None},
    {"job": JOB, "index": 0, "more": 1},
    {"job": JOB},
    {"job": "../../etc", "index": 0},
    {"job": JOB, "index": 0, "look": "../../../../"},
    {"job": ["a"], "index": {}},
)
"""Arguments that no job has."""

_VALUES: tuple[object, ...] = (
    None, True, 0, -1, 10**30, 1e308, "", "x", "\x00", "\ud800", [], {}, [[]], {"a": {}},
    "9999-12-31T23:59:59", "facepaint.paint", [None, None], "x" * 10_000,
)  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    """A message with one to three changes, at times also in its bytes."""
    message = copy.deepcopy(task_message())
    for _ in range(rng.randint(1, 3)):
        target: Any = message
        while isinstance(target, dict) and target:
            name = rng.choice([*target, "new"])
            if not isinstance(target.get(name), dict) or rng.random() < 0.3:
                target[name] = copy.deepcopy(rng.choice(_VALUES))
                break
            target = target[name]
    if rng.random() < 0.5:
        body = [rng.choice(_VALUES) for _ in range(rng.randint(0, 4))]
        message["body"] = encoded(rng.choice([body, *_VALUES]))
    raw = bytearray(json.dumps(message).encode())
    if rng.random() < 0.3:
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)
