"""An HTTP server that answers as Anthropic and OpenAI do.

The official SDKs talk to it over a socket, streams included.  What a model would say
comes from a function of the request's body; before that, scripted faults are used up.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from loopback import anthropic_wire, openai_wire
from loopback.batches import BatchDesk, is_of_batches


@dataclass
class Says:
    """What the model says, and how it ends.

    Attributes:
        finish: ``stop``, ``length`` or ``refusal``.
        pieces: Into how many events the text is cut.
        logprobs: For each token of the reply, its text and the alternatives.
    """

    text: str
    finish: str = "stop"
    pieces: int = 4
    logprobs: Sequence[tuple[str, dict[str, float]]] = ()

    @property
    def parts(self) -> list[str]:
        """The text in pieces that join to it."""
        if self.logprobs:
            return [token for token, _ in self.logprobs]
        size = max(1, -(-len(self.text) // self.pieces))
        return [self.text[i : i + size] for i in range(0, len(self.text), size)]


@dataclass
class Status:
    """An HTTP status instead of a reply."""

    code: int
    message: str = "scripted"
    kind: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    param: str = ""


@dataclass
class Break:
    """The connection is cut after so many events of a stream."""

    after: int


@dataclass
class Stall:
    """The stream goes silent after so many events."""

    after: int
    seconds: float = 5.0


@dataclass
class ErrorEvent:
    """An error inside a stream."""

    after: int
    kind: str = "overloaded_error"
    message: str = "Overloaded"


@dataclass
class Garbage:
    """Status 200 with a body that is nothing."""

    body: bytes = b"<html>hello</html>"
    content_type: str = "text/html"


Script = Says | Status | Break | Stall | ErrorEvent | Garbage | str
#: Tokens of a prompt, each with the alternatives at its place.
Echo = Sequence[tuple[str, dict[str, float]]]


@dataclass
class Seen:
    """A request that has reached the server."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """All that the model was told, system message first."""
        body = self.body
        parts = [body.get("system"), body.get("instructions"), body.get("prompt")]
        parts += [m["content"] for m in body.get("messages") or body.get("input") or ()]
        return "\n".join(str(part) for part in parts if part)


class Loopback:
    """The server; a context manager.

    Attributes:
        brain: What the model says to a request.
        script: Faults and replies that are used up first, in order.
        echo: The distribution over a prompt; None for a server that can't echo.
        models: What it says it has.
        requests: Every request but those for the list of models, and those of batches.
        batches: The desk where batches are taken.
    """

    def __init__(self) -> None:
        self.brain: Callable[[Seen], Script] = lambda seen: "fire"
        self.script: deque[Script] = deque()
        self.echo: Callable[[str], Echo] | None = None
        self.models: list[dict[str, Any]] = [{"id": "tester"}]
        self.requests: list[Seen] = []
        self.batches = BatchDesk(self)
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Without a path: where Anthropic's SDK begins."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def name(self) -> str:
        """As a user names its model."""
        return f"{self.url}/v1#tester"

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_PATHS = ("/v1/messages", "/v1/chat/completions", "/v1/responses")


class _Handler(BaseHTTPRequestHandler):
    owner: Loopback
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """The list of models, or one of them."""
        if is_of_batches(self.path):
            path, _, query = self.path.partition("?")
            with self.owner.lock:
                status, answer = self.owner.batches.get(path, query)
            self._answer(status, answer)
            return
        anthropic = "x-api-key" in self.headers
        wire = anthropic_wire if anthropic else openai_wire
        path = self.path.partition("?")[0]
        if path.endswith("/models"):
            self._json(wire.models(self.owner.models))
        else:
            name = path.rpartition("/")[2]
            found = [m for m in self.owner.models if m["id"] == name]
            self._json(wire.models(found)["data"][0]) if found else self._json({}, 404)

    def do_POST(self) -> None:
        """A request to a model."""
        owner = self.owner
        headers = {k.lower(): v for k, v in self.headers.items()}
        data = self.rfile.read(int(headers.get("content-length", 0)))
        if is_of_batches(self.path):
            answered = owner.batches.post(self.path.partition("?")[0], headers, data)
            if answered is None:
                self.close_connection = True
                self.connection.shutdown(2)
            else:
                self._answer(*answered)
            return
        body = json.loads(data)
        seen = Seen("POST", self.path.partition("?")[0], headers, body)
        with owner.lock:
            owner.requests.append(seen)
            script = owner.script.popleft() if owner.script else None
        if script is None and "prompt" in body:
            self._echo(seen)
            return
        script = owner.brain(seen) if script is None else script
        said = Says(script) if isinstance(script, str) else script
        wire = anthropic_wire if self.path.startswith("/v1/messages") else openai_wire
        match said:
            case Status():
                self._json(wire.error(said.message, said.kind, said.param), said.code, said.headers)
            case Garbage():
                self._send(said.body, said.content_type)
            case _:
                # What breaks later begins as a reply like any other.
                words = said if isinstance(said, Says) else Says("a reply in several pieces")
                if not seen.path.endswith(_PATHS):
                    self._json(wire.error(f"no endpoint {seen.path}", "not_found"), 404)
                elif body.get("stream"):
                    self._stream(wire.events(seen.path, body, words), said, wire)
                else:
                    assert isinstance(said, Says), f"{said} needs a stream"
                    self._json(wire.whole(seen.path, body, words))

    def _answer(self, status: int, answer: Any) -> None:
        if isinstance(answer, bytes):
            self._send(answer, "application/octet-stream", status)
        else:
            self._json(answer, status)

    def _echo(self, seen: Seen) -> None:
        if self.owner.echo is None:
            self._json(openai_wire.error("no such endpoint", "not_found"), 404)
            return
        prompt = seen.body["prompt"]
        self._json(openai_wire.echo(seen.body, self.owner.echo(prompt)))

    def _stream(self, events: Iterator[bytes], said: Script, wire: Any) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for number, event in enumerate(events):
                if isinstance(said, Break | Stall | ErrorEvent) and number == said.after:
                    if isinstance(said, Stall):
                        time.sleep(said.seconds)
                    if isinstance(said, ErrorEvent):
                        self._chunk(wire.error_event(said.message, said.kind))
                        self._chunk(b"")
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
                self._chunk(event)
            # A fault that was to come later than the end would not be one.
            assert isinstance(said, Says), f"the stream ended before {said}"
            self._chunk(b"")
        except OSError:  # the client has gone
            self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, body: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(body).encode(), "application/json", code, headers)

    def _send(
        self, body: bytes, kind: str, code: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def tokens(text: str) -> int:
    """How the server counts: four characters a token."""
    return -(-len(text) // 4)
