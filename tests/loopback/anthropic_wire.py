"""Anthropic's Messages API on the wire (its public reference, version 2023-06-01)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopback.server import Says

_REASONS = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}


def _count(text: str) -> int:
    return -(-len(text) // 4)


def _read(body: dict[str, Any]) -> int:
    return _count(str(body.get("system", "")) + "".join(m["content"] for m in body["messages"]))


def models(names: list[dict[str, Any]]) -> dict[str, Any]:
    """The list of models."""
    data = [
        {
            "type": "model",
            "id": one["id"],
            "display_name": one["id"],
            "created_at": "2026-01-01T00:00:00Z",
        }
        for one in names
    ]
    return {"data": data, "has_more": False, "first_id": None, "last_id": None}


def error(message: str, kind: str = "", param: str = "") -> dict[str, Any]:
    """An error's body."""
    inner = {"type": kind or "invalid_request_error", "message": message}
    return {"type": "error", "error": inner, "request_id": "req_1"}


def whole(path: str, body: dict[str, Any], said: Says) -> dict[str, Any]:
    """A whole message."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": said.text}],
        "stop_reason": _REASONS[said.finish],
        "stop_sequence": None,
        "usage": {"input_tokens": _read(body), "output_tokens": _count(said.text)},
    }


def _event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def events(path: str, body: dict[str, Any], said: Says) -> Iterator[bytes]:
    """A message as a stream of events."""
    message = whole(path, body, said)
    message |= {"content": [], "stop_reason": None}
    message["usage"] = {"input_tokens": _read(body), "output_tokens": 1}
    yield _event("message_start", message=message)
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield _event("ping")
    for part in said.parts:
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": part})
    yield _event("content_block_stop", index=0)
    yield _event(
        "message_delta",
        delta={"stop_reason": _REASONS[said.finish], "stop_sequence": None},
        usage={"output_tokens": _count(said.text)},
    )
    yield _event("message_stop")


def error_event(message: str, kind: str) -> bytes:
    """An error inside a stream."""
    return _event("error", error={"type": kind, "message": message})
