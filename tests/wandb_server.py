"""A small W&B server on loopback: the part of the client's protocol that the suite uses.

It keeps what it gets in memory, answers GraphQL operations by their names, and refuses what W&B
refuses and what it does not know, so that a test fails loudly when a new client asks for more.
"""

import gzip
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "team"
PROJECT = {"id": "p", "internalId": "1", "name": "alexnet-ablations", "entityName": ENTITY}
OWNED = {"id": "p", "name": PROJECT["name"], "entity": {"id": "e", "name": ENTITY}}
TIMES = dict.fromkeys(("createdAt", "updatedAt"), "2012-12-03T10:00:00")
VIEWER = {"id": "1", "entity": ENTITY, "username": "me", "email": "me@localhost", "flags": "{}"}
LISTED = PROJECT | TIMES | {"__typename": "Project", "isBenchmark": False, "user": None}
LAST_PAGE = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}

# Answers that are always the same.
ANSWERS: dict[str, Any] = {
    "Viewer": {"viewer": VIEWER | {"teams": {"edges": []}}},
    "GetDefaultEntity": {"viewer": VIEWER},
    "OrganizationCoreWeaveOrganizationID": {"entity": {"organization": None}},
    "ProjectInternalId": {"project": PROJECT},
    "ServerFeaturesQuery": {"serverInfo": {"features": []}},
    "GetProjects": {"models": {"pageInfo": LAST_PAGE, "edges": [{"node": LISTED}]}},
}


@dataclass
class Run:
    """A run as the server knows it; ``starts`` counts how often a client began or resumed it."""

    id: str
    name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)  # by offset in the stream
    summary: dict[str, Any] = field(default_factory=dict)
    starts: int = 0
    exit_code: int | None = None
    sweep: str | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """History rows in order."""
        return [self.history[offset] for offset in sorted(self.history)]

    def values(self, name: str) -> list[Any]:
        """One metric over the rows that have it."""
        return [row[name] for row in self.rows if name in row]

    @property
    def bucket(self) -> dict[str, Any]:
        """What GraphQL says of the run."""
        return {
            "id": self.id,
            "name": self.id,
            "displayName": self.name,
            "sweepName": self.sweep,
            "project": OWNED,
            "tags": self.tags,
            "config": json.dumps(self.config),
            "summaryMetrics": json.dumps(self.summary),
            "historyLineCount": len(self.history),
            "historyTail": json.dumps([json.dumps(row) for row in self.rows[-1:]]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "wandbConfig": '{"t": 1}',
        }


class WandbServer:
    """The state of the server, and how to reach it.

    Attributes:
        refusal: Status of every answer, for a server that refuses; None to serve.
    """

    def __init__(self) -> None:
        self.refusal: int | None = None
        self.runs: dict[str, Run] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.lock = threading.RLock()
        self.http = _Http(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point the client here."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "x" * 40,
            "WANDB_MODE": "online",
            "no_proxy": "127.0.0.1",
        }

    def graphql(self, operation: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The data that answers an operation; None for one that is unknown or refused."""
        if any(len(given.get(key) or "") > 128 for key in ("displayName", "groupName")):
            return None
        if any(not 0 < len(tag) <= 64 for tag in given.get("tags") or ()):
            return None
        answer = getattr(self, f"_{operation}", None)
        return answer(given) if answer else ANSWERS.get(operation)

    def _RunResumeStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        return {"model": OWNED | {"bucket": run and run.bucket}}

    def _UpsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        new = given["name"] not in self.runs
        run = self.runs.setdefault(given["name"], Run(given["name"]))
        if given["displayName"] is not None:  # what begins a run, or begins it again
            run.starts += 1
            run.exit_code = None
        run.name = given["displayName"] or run.name
        run.group = given["groupName"] or run.group
        run.job_type = given["jobType"] or run.job_type
        run.notes = given["notes"] or run.notes
        run.sweep = given["sweep"] or run.sweep
        run.tags = given["tags"] or run.tags
        run.config = json.loads(given["config"] or "null") or run.config
        run.summary = json.loads(given["summaryMetrics"] or "null") or run.summary
        return {"upsertBucket": {"bucket": run.bucket, "inserted": new}}

    def _CreateRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        place = f"{self.url}/storage/{given['run']}"
        files = [{"name": name, "uploadUrl": f"{place}/{name}"} for name in given["files"]]
        created = {"runID": given["run"], "uploadHeaders": [], "files": files}
        return {"createRunFiles": created}

    # Workspaces and reports.

    def _UpsertView2(self, given: dict[str, Any]) -> dict[str, Any]:
        self.views[given["name"]] = given
        return {"upsertView": {"view": {"id": given["name"], "name": given["name"]}}}

    def _View(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [view for name, view in self.views.items() if name == given["viewName"]]
        edges = [{"node": view | {"id": view["name"]}} for view in found]
        return {"project": {"allViews": {"edges": edges}}}

    def _upsertView(self, given: dict[str, Any]) -> dict[str, Any]:
        report_id = given["id"] or f"report{len(self.reports):02d}"
        self.reports[report_id] = given
        return {"upsertView": self._SpecificReport({"reportId": report_id})}

    def _SpecificReport(self, given: dict[str, Any]) -> dict[str, Any]:
        report_id = given["reportId"]
        known = {"id": report_id, "project": PROJECT, "previewUrl": None}
        user = {"name": "me", "username": "me", "userInfo": {}}
        return {"view": self.reports[report_id] | TIMES | known | {"user": user}}

    def stream(self, run_id: str, sent: dict[str, Any]) -> None:
        """Take a piece of a run's file stream."""
        run = self.runs[run_id]
        for name, chunk in sent.get("files", {}).items():
            content = chunk["content"]
            if name == "wandb-history.jsonl":
                rows = map(json.loads, content)
                run.history |= dict(enumerate(rows, chunk["offset"]))
            elif name == "wandb-summary.json":
                run.summary = json.loads(content[-1])
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]


class _Http(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed resets its connections."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            with server.lock:
                status, reply = self.reply(body)
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer

        def reply(self, body: bytes) -> tuple[int, dict[str, Any]]:
            if self.path.startswith("/sdk/otel"):  # telemetry
                return 200, {}
            server.requests.append(self.path)
            if server.refusal:
                return server.refusal, {"errors": [{"message": "refused"}]}
            if self.path == "/graphql":
                return self.graphql(json.loads(body))
            if found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                server.stream(found[1], json.loads(body))
                return 200, {}
            return (200 if self.path.startswith("/storage/") else 404), {}

        def graphql(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            operation = asked.get("operationName") or re.findall(r"\w+", asked["query"])[1]
            server.requests[-1] = operation
            data = server.graphql(operation, asked.get("variables") or {})
            if data is None:
                server.requests[-1] = f"unknown: {operation} {json.dumps(asked)}"
                return 200, {"errors": [{"message": f"this server does not know {operation}"}]}
            return 200, {"data": data}

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


@contextmanager
def serve() -> Iterator[WandbServer]:
    """A server for as long as the context lasts."""
    server = WandbServer()
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
