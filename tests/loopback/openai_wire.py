"""OpenAI's chat completions, Responses and completions APIs on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopback.server import Says


def _count(text: str) -> int:
    return -(-len(text) // 4)


def _read(body: dict[str, Any]) -> int:
    messages = body.get("messages") or body.get("input") or ()
    return _count(str(body.get("instructions", "")) + "".join(m["content"] for m in messages))


def models(names: list[dict[str, Any]]) -> dict[str, Any]:
    """The list of models."""
    data = [{"object": "model", "created": 0, "owned_by": "us", **one} for one in names]
    return {"object": "list", "data": data}


def error(message: str, kind: str = "", param: str = "") -> dict[str, Any]:
    """An error's body."""
    inner = {"message": message, "type": kind or None, "param": param or None, "code": kind or None}
    return {"error": inner}


def _usage(body: dict[str, Any], said: Says) -> dict[str, Any]:
    read, written = _read(body), _count(said.text)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _logprobs(pieces: Sequence[tuple[str, dict[str, float]]]) -> dict[str, Any] | None:
    if not pieces:
        return None
    content = [
        {
            "token": token,
            "logprob": top.get(token, -1.0),
            "bytes": list(token.encode()),
            "top_logprobs": [
                {"token": other, "logprob": value, "bytes": list(other.encode())}
                for other, value in top.items()
            ],
        }
        for token, top in pieces
    ]
    return {"content": content, "refusal": None}


def _finish(said: Says) -> str:
    return "content_filter" if said.finish == "refusal" else said.finish


def whole(path: str, body: dict[str, Any], said: Says) -> dict[str, Any]:
    """A whole reply of either chat API."""
    if path.endswith("/responses"):
        return _response(body, said, "completed")
    message = {"role": "assistant", "content": said.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _finish(said)}
    choice["logprobs"] = _logprobs(said.logprobs) if body.get("logprobs") else None
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [choice],
        "usage": _usage(body, said),
    }


def events(path: str, body: dict[str, Any], said: Says) -> Iterator[bytes]:
    """A reply of either chat API as a stream of events."""
    if path.endswith("/responses"):
        yield from _response_events(body, said)
        return
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0}
    head["model"] = body["model"]

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None, **more}
        return _data({**head, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for number, part in enumerate(said.parts):
        pieces = said.logprobs[number : number + 1] if body.get("logprobs") else ()
        yield chunk({"content": part}, logprobs=_logprobs(pieces))
    yield chunk({}, _finish(said))
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _data({**head, "choices": [], "usage": _usage(body, said)})
    yield b"data: [DONE]\n\n"


def _data(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def error_event(message: str, kind: str) -> bytes:
    """An error inside a stream."""
    return _data(error(message, kind))


def _response(body: dict[str, Any], said: Says, status: str) -> dict[str, Any]:
    read, written = _read(body), _count(said.text)
    content = {"type": "output_text", "text": said.text, "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    reason = {"length": "max_output_tokens", "refusal": "content_filter"}.get(said.finish)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": body["model"],
        "status": "incomplete" if reason and status == "completed" else status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "output": [{**message, "content": [content]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }


def _response_events(body: dict[str, Any], said: Says) -> Iterator[bytes]:
    number = 0

    def event(name: str, **data: Any) -> bytes:
        nonlocal number
        number += 1
        value = {"type": name, "sequence_number": number, **data}
        return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()

    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    started = _response(body, said, "in_progress") | {"output": [], "usage": None}
    yield event("response.created", response=started | {"incomplete_details": None})
    for part in said.parts:
        yield event("response.output_text.delta", delta=part, logprobs=[], **place)
    yield event("response.output_text.done", text=said.text, logprobs=[], **place)
    name = "response.completed" if said.finish == "stop" else "response.incomplete"
    yield event(name, response=_response(body, said, "completed"))


def echo(body: dict[str, Any], pieces: Sequence[tuple[str, dict[str, float]]]) -> dict[str, Any]:
    """A completion that echoes its prompt with log-probabilities."""
    offsets, start = [], 0
    for token, _ in pieces:
        offsets.append(start)
        start += len(token)
    logprobs = {
        "tokens": [token for token, _ in pieces],
        "token_logprobs": [None, *(top.get(token, -9.0) for token, top in pieces[1:])],
        "top_logprobs": [None, *(top for _, top in pieces[1:])],
        "text_offset": offsets,
    }
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {"index": 0, "text": body["prompt"], "finish_reason": "length", "logprobs": logprobs}
        ],
        "usage": {
            "prompt_tokens": len(pieces),
            "completion_tokens": 0,
            "total_tokens": len(pieces),
        },
    }
