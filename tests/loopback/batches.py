"""The vendors' batch APIs on the wire: OpenAI's files and batches, Anthropic's Message Batches.

Shapes are those of the SDKs' types.  A batch waits until :meth:`BatchDesk.work` answers it.
"""

from __future__ import annotations

import email
import email.policy
import json
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from loopback import anthropic_wire, openai_wire

if TYPE_CHECKING:
    from loopback.server import Loopback, Script, Seen

#: Seconds since 1970 at which the server's first batch is made.
_EPOCH = 1_800_000_000
_DAY = 86_400


@dataclass
class Held:
    """A batch as the server has it.

    Attributes:
        requests: Custom id, path and body of each.
        results: One line for each request that is dealt with.
        phase: ``running``, ``canceling``, ``canceled``, ``ended``, ``expired``, ``failed``.
    """

    id: str
    requests: list[tuple[str, str, dict[str, Any]]]
    endpoint: str = ""
    metadata: dict[str, str] | None = None
    phase: str = "running"
    results: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    reason: dict[str, Any] | None = None
    number: int = 0

    def count(self, *kinds: str) -> int:
        """Results of some kinds."""
        return sum(result["kind"] in kinds for _, result in self.results)


class BatchDesk:
    """What the server knows of batches.

    Attributes:
        asked: Body of every request of every batch it has taken, as JSON: what is paid for.
        fate: What becomes of a request instead of an answer: ``expired``, ``canceled``; or
            an answer or Status of its own; None: as the model says.
        lose: So many next submissions are taken, and the connection is cut before the
            answer.
        refuse: Errors for the next submissions.
        gate: Set at the moment a submission has been taken; where ``hold`` is, the answer
            waits for it.
    """

    def __init__(self, owner: Loopback) -> None:
        self.owner = owner
        self.held: dict[str, Held] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.fate: Callable[[Seen], Script | None] = lambda seen: None
        self.lose = 0
        self.refuse: deque[tuple[int, str, str]] = deque()
        self.taken = threading.Event()
        self.hold: threading.Event | None = None
        self.calls: list[str] = []

    # -- what a test does

    def work(self, share: float = 1.0, *, end: str = "ended", seed: int = 0) -> int:
        """Answer what is waiting, in any order; how many batches ended.

        Args:
            share: Of each batch's requests; less than all leaves it running, or, with an
                ``end`` of ``expired`` or ``canceled``, leaves the rest undone.
        """
        ended = 0
        for batch in list(self.held.values()):
            if batch.phase not in ("running", "canceling"):
                continue
            if batch.phase == "canceling":
                end_of, answered = "canceled", len(batch.results)
            else:
                end_of, answered = end, round(share * len(batch.requests))
            known = {custom for custom, _ in batch.results}
            for custom, path, body in batch.requests[:answered]:
                if custom not in known:
                    batch.results.append((custom, self._result(path, body)))
            if answered < len(batch.requests) and end_of == "ended":
                continue
            kind = "expired" if end_of == "expired" else "canceled"
            known = {custom for custom, _ in batch.results}
            batch.results += [
                (custom, {"kind": kind}) for custom, _, _ in batch.requests if custom not in known
            ]
            random.Random(seed).shuffle(batch.results)
            batch.phase = end_of
            ended += 1
        return ended

    def _result(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        from loopback.server import Says, Seen, Status

        seen = Seen("BATCH", path, {}, body)
        said = self.fate(seen)
        if said in ("expired", "canceled"):
            return {"kind": said}
        said = self.owner.brain(seen) if said is None else said
        said = Says(said) if isinstance(said, str) else said
        wire = anthropic_wire if path == "/v1/messages" else openai_wire
        if isinstance(said, Status):
            error = wire.error(said.message, said.kind, said.param)
            return {"kind": "errored", "status": said.code, "body": error}
        assert isinstance(said, Says), said
        return {"kind": "succeeded", "status": 200, "body": wire.whole(path, body, said)}

    # -- what the server does

    def get(self, path: str, query: str) -> tuple[int, Any]:
        """Status and body, bytes or JSON."""
        self.calls.append(f"GET {path}")
        wanted = {name: values[0] for name, values in parse_qs(query).items()}
        parts = path.strip("/").split("/")
        if parts[1] == "files":
            data = self.files.get(parts[2])
            return (200, data) if data is not None else (404, openai_wire.error("no such file"))
        anthropic = parts[1] == "messages"
        rest = parts[3:] if anthropic else parts[2:]
        show = self._message_batch if anthropic else self._batch
        if not rest:
            newest = sorted(self.held.values(), key=lambda one: -one.number)
            after = wanted.get("after_id" if anthropic else "after")
            if after is not None:
                places = [place for place, one in enumerate(newest) if one.id == after]
                newest = newest[places[0] + 1 :]
            limit = int(wanted.get("limit", 20))
            page = [show(one) for one in newest[:limit]]
            ends = {"first_id": page[0]["id"] if page else None}
            ends["last_id"] = page[-1]["id"] if page else None
            kind = {} if anthropic else {"object": "list"}
            return 200, {**kind, "data": page, "has_more": len(newest) > limit, **ends}
        held = self.held.get(rest[0])
        if held is None:
            wire = anthropic_wire if anthropic else openai_wire
            return 404, wire.error("no such batch", "not_found_error")
        if rest[1:] == ["results"]:
            return 200, "".join(
                json.dumps(_individual(*one)) + "\n" for one in held.results
            ).encode()
        return 200, show(held)

    def post(self, path: str, headers: dict[str, str], data: bytes) -> tuple[int, Any] | None:
        """The same; None: the connection is to be cut."""
        self.calls.append(f"POST {path}")
        parts = path.strip("/").split("/")
        if path.endswith("/files"):
            return 200, self._upload(headers, data)
        anthropic = parts[1] == "messages"
        wire = anthropic_wire if anthropic else openai_wire
        if parts[-1] == "cancel":
            held = self.held.get(parts[-2])
            if held is None:
                return 404, wire.error("no such batch", "not_found_error")
            if held.phase == "running":
                held.phase = "canceling"
            return 200, (self._message_batch if anthropic else self._batch)(held)
        if self.refuse:
            status, message, kind = self.refuse.popleft()
            return status, wire.error(message, kind)
        body = json.loads(data)
        number = len(self.held) + 1
        if anthropic:
            requests = [(r["custom_id"], "/v1/messages", r["params"]) for r in body["requests"]]
            held = Held(f"msgbatch_{number}", requests, number=number)
        else:
            assert body["completion_window"] == "24h"
            lines = self.files[body["input_file_id"]].decode().splitlines()
            rows = [json.loads(line) for line in lines]
            assert all(r["url"] == body["endpoint"] and r["method"] == "POST" for r in rows)
            requests = [(r["custom_id"], r["url"], r["body"]) for r in rows]
            held = Held(f"batch_{number}", requests, body["endpoint"], body.get("metadata"))
            held.number = number
        assert len({custom for custom, _, _ in requests}) == len(requests)
        assert all(len(custom) <= 64 for custom, _, _ in requests)
        self.held[held.id] = held
        self.asked += [json.dumps(body, sort_keys=True) for _, _, body in requests]
        self.taken.set()
        if self.hold is not None:
            self.hold.wait(30)
        if self.lose:
            self.lose -= 1
            return None
        return 200, (self._message_batch if anthropic else self._batch)(held)

    def _upload(self, headers: dict[str, str], data: bytes) -> dict[str, Any]:
        head = f"content-type: {headers['content-type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + data, policy=email.policy.HTTP)
        fields = {
            p.get_param("name", header="content-disposition"): p for p in message.iter_parts()
        }
        assert fields["purpose"].get_payload(decode=True) == b"batch"
        content = fields["file"].get_payload(decode=True)
        assert isinstance(content, bytes)
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": _EPOCH,
            "filename": fields["file"].get_filename(),
            "purpose": "batch",
            "status": "processed",
        }

    def _batch(self, held: Held) -> dict[str, Any]:
        status = {"running": "in_progress", "ended": "completed", "canceling": "cancelling",
                  "canceled": "cancelled"}.get(held.phase, held.phase)  # fmt: skip
        done = held.phase in ("ended", "canceled", "expired")
        good = [one for one in held.results if one[1]["kind"] == "succeeded"]
        bad = [one for one in held.results if one[1]["kind"] != "succeeded"]
        files: dict[str, str | None] = {"output": None, "error": None}
        for kind, rows in (("output", good), ("error", bad)):
            if done and rows:
                files[kind] = f"file-{held.id}-{kind}"
                lines = [json.dumps(_line(*one)) + "\n" for one in rows]
                self.files[f"file-{held.id}-{kind}"] = "".join(lines).encode()
        return {
            "id": held.id,
            "object": "batch",
            "endpoint": held.endpoint,
            "errors": {"object": "list", "data": [held.reason]} if held.reason else None,
            "input_file_id": "file-1",
            "completion_window": "24h",
            "status": status,
            "output_file_id": files["output"],
            "error_file_id": files["error"],
            "created_at": _EPOCH + 2_000_000_000 + held.number,
            "expires_at": _EPOCH + 2_000_000_000 + _DAY,
            "request_counts": {
                "total": len(held.requests),
                "completed": len(good),
                "failed": held.count("errored"),
            },
            "metadata": held.metadata,
        }

    def _message_batch(self, held: Held) -> dict[str, Any]:
        status = {"running": "in_progress", "canceling": "canceling"}.get(held.phase, "ended")
        ended = status == "ended"
        counts = {
            kind: held.count(kind) if ended else 0
            for kind in ("succeeded", "errored", "canceled", "expired")
        }
        counts["processing"] = 0 if ended else len(held.requests)
        where = f"{self.owner.url}/v1/messages/batches/{held.id}/results"
        return {
            "id": held.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "ended_at": "2027-01-02T00:00:00Z" if ended else None,
            "created_at": "2027-01-01T00:00:00Z",
            "expires_at": "2027-01-02T00:00:00Z",
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": where if ended else None,
        }


def _individual(custom_id: str, result: dict[str, Any]) -> dict[str, Any]:
    """A line of Anthropic's results."""
    inner: dict[str, Any] = {"type": result["kind"]}
    if result["kind"] == "succeeded":
        inner["message"] = result["body"]
    elif result["kind"] == "errored":
        inner["error"] = result["body"]
    return {"custom_id": custom_id, "result": inner}


def _line(custom_id: str, result: dict[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's output or error file."""
    response = error = None
    if "status" in result:
        response = {"status_code": result["status"], "request_id": "req_1", "body": result["body"]}
    else:
        words = {
            "expired": "This request could not be executed before the completion window expired.",
            "canceled": "The batch was cancelled.",
        }
        code = {"expired": "batch_expired", "canceled": "batch_cancelled"}[result["kind"]]
        error = {"code": code, "message": words[result["kind"]]}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": error}


def is_of_batches(path: str) -> bool:
    """Whether a request is for this desk."""
    bare = urlsplit(path).path
    return "/batches" in bare or "/files" in bare
