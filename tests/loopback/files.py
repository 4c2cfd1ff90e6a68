"""An HTTP server of files that fails when it is told to."""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

#: What can be scripted for a path: a status, or one of these words.
CUT, STALL = "cut", "stall"


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no news."""


class Files:
    """Serves a folder with ETags; ``faults`` are used up first, by the end of a path.

    Args:
        stall_seconds: How long a stalled reply is silent.
        delay: Seconds before every reply.

    Attributes:
        asked: How often each path was asked for.
        statuses: The statuses sent, in order.
    """

    def __init__(self, root: Path, *, stall_seconds: float = 1.0, delay: float = 0.0) -> None:
        self.root = root
        self.faults: dict[str, deque[int | str]] = {}
        self.asked: Counter[str] = Counter()
        self.statuses: list[int] = []
        self.hold: threading.Event | None = None
        self._stall = stall_seconds
        self._delay = delay
        files = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                files._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, end: str, *faults: int | str) -> None:
        """Script faults for paths that end so."""
        self.faults.setdefault(end, deque()).extend(faults)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        self.asked[path] += 1
        if self.hold is not None:
            self.hold.wait(5)
        time.sleep(self._delay)
        for end, faults in self.faults.items():
            if path.endswith(end) and faults:
                fault = faults.popleft()
                if isinstance(fault, int):
                    self._send(request, fault, b"no")
                elif fault == STALL:
                    time.sleep(self._stall)
                    request.close_connection = True
                else:
                    request.send_response(200)
                    request.send_header("Content-Length", "100000")
                    request.end_headers()
                    request.wfile.write(b'{"tokens": [')
                    request.close_connection = True
                return
        file = self.root / path.lstrip("/")
        if not file.is_file():
            self._send(request, 404, b"")
            return
        data = file.read_bytes()
        etag = f'"{zlib.crc32(data):08x}"'
        if request.headers.get("If-None-Match") == etag:
            self._send(request, 304, b"", etag)
        else:
            self._send(request, 200, data, etag)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, data: bytes, etag: str = ""
    ) -> None:
        self.statuses.append(status)
        request.send_response(status)
        if etag:
            request.send_header("ETag", etag)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if status != 304:
            request.wfile.write(data)

    def __enter__(self) -> Files:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
