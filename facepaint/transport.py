"""The broker as Celery sees it: Redis, with only our own messages.

Whoever can write to the broker could stop every worker with one message that Celery does not
expect, or have it do other things: run a task at a later time, call others, shut down. Messages are
therefore checked where they arrive, and made anew from what a task needs. Others are dropped with a
line in the log.

Imported by name, at the first connection: redis is slow to import.
"""

import base64
import functools
import json
import logging
import re
import uuid
from typing import Any

import kombu.transport.redis

from facepaint.queue import KEY_PREFIX, PRIORITIES, QUEUE_OF, QUEUES

# The type stubs know little of it.
kombu_redis: Any = kombu.transport.redis

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
"""Of a message; ours have less than 2 kB."""

_ID = re.compile(r"[0-9A-Za-z-]{1,64}")

_MALFORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What kombu raises for a message of the wrong structure."""

Message = dict[str, Any]


class NotOurs(ValueError):
    """A message that no version of facepaint sends."""


def checked_task(raw: bytes) -> Message:
    """The message of a task, made anew from task, id, arguments, priority and redelivery.

    Raises:
        NotOurs: it is malformed, or for another task.
    """
    message = _json_object(raw)
    headers, properties = _object(message, "headers"), _object(message, "properties")
    task = headers.get("task")
    if not isinstance(task, str) or task not in QUEUE_OF:
        raise NotOurs("it names no task of ours")
    arguments = _body(message)
    if not isinstance(arguments, list) or len(arguments) != 3:
        raise NotOurs("its body is no list of arguments")
    positional, named, _ = arguments
    if positional != [] or not isinstance(named, dict):
        raise NotOurs("its arguments have no names")
    identity = headers.get("id")
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        identity = str(uuid.uuid4())
    priority = properties.get("priority")
    if not isinstance(priority, int) or not 0 <= priority < PRIORITIES:
        priority = PRIORITIES - 1
    delivery = properties.get("delivery_info")
    redelivered = isinstance(delivery, dict) and delivery.get("redelivered") is True
    return _message(
        [[], named, {}],
        {"lang": "py", "task": task, "id": identity, "root_id": identity, "retries": 0},
        {
            "correlation_id": identity,
            "priority": priority,
            "delivery_info": {
                "exchange": "",
                "routing_key": QUEUE_OF[task],
                "redelivered": redelivered,
            },
        },
    )


def checked_ping(message: object) -> Message:
    """A message of Celery's remote control, made anew; workers only answer whether they run.

    Raises:
        NotOurs: it is malformed, or for another command.
    """
    if not isinstance(message, dict):
        raise NotOurs("it is no object")
    body = _body(message)
    if not isinstance(body, dict) or body.get("method") != "ping":
        raise NotOurs("it is no ping")
    reply_to = body.get("reply_to")
    if not isinstance(reply_to, dict) or not isinstance(body.get("ticket"), str):
        raise NotOurs("it asks for no answer")
    kept = {name: body.get(name) for name in ("destination", "pattern", "matcher", "ticket")}
    if kept["matcher"] not in (None, "glob"):
        raise NotOurs("its pattern is of another kind")
    exchange, routing_key = (str(reply_to.get(name)) for name in ("exchange", "routing_key"))
    reply = {"exchange": exchange, "routing_key": routing_key}
    rest = {"method": "ping", "arguments": {}, "reply_to": reply}
    delivery = {"exchange": "celery.pidbox", "routing_key": ""}
    return _message(kept | rest, {}, {"priority": 0, "delivery_info": delivery})


def _json_object(raw: bytes) -> Message:
    if len(raw) > MAX_BYTES:
        raise NotOurs(f"it has {len(raw)} bytes")
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise NotOurs("it is not JSON") from exc
    if not isinstance(message, dict):
        raise NotOurs("it is no object")
    return message


def _object(message: Message, name: str) -> Message:
    value = message.get(name)
    if not isinstance(value, dict):
        raise NotOurs(f"it has no {name}")
    return value


def _body(message: Message) -> object:
    body = message.get("body")
    if not isinstance(body, str) or len(body) > MAX_BYTES:
        raise NotOurs("it has no body")
    try:
        return json.loads(base64.b64decode(body, validate=True))
    except (ValueError, RecursionError) as exc:
        raise NotOurs("its body is not JSON in base64") from exc


def _message(body: object, headers: Message, properties: Message) -> Message:
    # A tag of its own: with one that occurs twice, acknowledging one message would delete both.
    tag = str(uuid.uuid4())
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties | {"body_encoding": "base64", "delivery_tag": tag},
    }


class _Client(kombu_redis.PrefixedStrictRedis):  # type: ignore[misc]
    """Replaces each message that is taken from a queue by its checked one."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        reply = super().parse_response(connection, command_name, **options)
        if command_name != "BRPOP" or not reply:
            return reply
        key, raw = reply
        if key.decode(errors="replace").partition(":")[0] not in QUEUES:
            return reply
        try:
            return key, json.dumps(checked_task(raw)).encode()
        except NotOurs as exc:
            log.warning("a message in the queue is dropped: %s", exc)
            # As if the wait for a message had timed out.
            return None


class _QoS(kombu_redis.QoS):  # type: ignore[misc]
    """Drops unacknowledged entries that are no messages, instead of failing at every sweep."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client, leftmost)
        except _MALFORMED as exc:
            log.warning("an unacknowledged message is dropped: %r", exc)
            self._remove_from_indices(tag).execute()


class _Channel(kombu_redis.Channel):  # type: ignore[misc]
    QoS = _QoS

    def _get_client(self) -> Any:
        super()._get_client()
        return functools.partial(_Client, global_keyprefix=KEY_PREFIX)

    def _deliver_fanout_message(self, message: object, exchange: str) -> bool:
        try:
            ping = checked_ping(message)
        except NotOurs as exc:
            log.warning("a control message is dropped: %s", exc)
            return False
        return bool(super()._deliver_fanout_message(ping, exchange))


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """Kombu's transport for Redis, with checked messages."""

    Channel = _Channel
