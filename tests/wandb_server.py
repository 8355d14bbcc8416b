"""A small W&B server on loopback: the part of the client's protocol that the suite uses.

It keeps what it gets in memory, answers GraphQL operations by their names, and refuses what it does
not know, so that a test fails loudly when a new client asks for more.
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
PROJECT = "alexnet-ablations"


@dataclass
class Run:
    """A run as the server knows it."""

    id: str
    name: str = ""
    group: str = ""
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

    def graphql(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data that answers an operation."""
        answer = getattr(self, f"_{operation}", None)
        if answer is None:
            raise NotImplementedError(operation)
        return answer(given)

    def _Viewer(self, given: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": "1", "entity": ENTITY, "username": "me", "email": "me@localhost"}
        return {"viewer": {**viewer, "flags": "{}", "teams": {"edges": []}}}

    def _GetDefaultEntity(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "1", "entity": ENTITY}}

    def _ServerFeaturesQuery(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _OrganizationCoreWeaveOrganizationID(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"organization": None}}

    def _RunResumeStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": ENTITY}}
        if run is None:
            return {"model": {**project, "bucket": None}}
        tail = [json.dumps(run.rows[-1])] if run.rows else []
        bucket = {
            "id": run.id,
            "name": run.id,
            "summaryMetrics": json.dumps(run.summary),
            "displayName": run.name,
            "logLineCount": 0,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "config": json.dumps(run.config),
            "tags": run.tags,
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }
        return {"model": {**project, "bucket": bucket}}

    def _UpsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        new = given["name"] not in self.runs
        run = self.runs.setdefault(given["name"], Run(given["name"]))
        if given["displayName"] is not None:  # what begins a run, or begins it again
            run.starts += 1
            run.exit_code = None
        run.name = given["displayName"] or run.name
        run.group = given["groupName"] or run.group
        run.sweep = given["sweep"] or run.sweep
        if given["tags"] is not None:
            run.tags = given["tags"]
        if given["config"] is not None:
            run.config = json.loads(given["config"])
        if given["summaryMetrics"] is not None:
            run.summary = json.loads(given["summaryMetrics"])
        bucket = {
            "id": run.id,
            "name": run.id,
            "displayName": run.name,
            "description": None,
            "config": json.dumps(run.config),
            "sweepName": run.sweep,
            "project": {
                "id": "p",
                "name": given["project"],
                "entity": {"id": "e", "name": ENTITY},
            },
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def _CreateRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        place = f"{self.url}/storage/{given['run']}"
        files = [{"name": name, "uploadUrl": f"{place}/{name}"} for name in given["files"]]
        created = {"runID": given["run"], "uploadHeaders": [], "files": files}
        return {"createRunFiles": created}

    # Workspaces and reports.

    def _ProjectInternalId(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"id": "p", "internalId": "1"}}

    def _UpsertView2(self, given: dict[str, Any]) -> dict[str, Any]:
        inserted = given["name"] not in self.views
        self.views[given["name"]] = given
        view = {"id": given["name"], "name": given["name"]}
        return {"upsertView": {"view": view, "inserted": inserted}}

    def _GetProjects(self, given: dict[str, Any]) -> dict[str, Any]:
        node = {
            "__typename": "Project",
            "id": "p",
            "name": PROJECT,
            "entityName": ENTITY,
            "createdAt": "2012-12-03T10:00:00",
            "isBenchmark": False,
            "user": None,
        }
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": node}]}}

    def _upsertView(self, given: dict[str, Any]) -> dict[str, Any]:
        report_id = given["id"] or f"report{len(self.reports):02d}"
        self.reports[report_id] = given
        return {"upsertView": {"view": self._report(report_id), "inserted": not given["id"]}}

    def _SpecificReport(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"view": self._report(given["reportId"])}

    def _report(self, report_id: str) -> dict[str, Any]:
        given = self.reports[report_id]
        return {
            "id": report_id,
            "type": given["type"],
            "name": given["name"],
            "displayName": given["displayName"],
            "description": given["description"],
            "project": {"id": "p", "name": PROJECT, "entityName": ENTITY},
            "createdAt": "2012-12-03T10:00:00",
            "updatedAt": "2012-12-03T10:00:00",
            "spec": given["spec"],
            "previewUrl": None,
            "user": {"name": "me", "username": "me", "userInfo": {}},
        }

    def _View(self, given: dict[str, Any]) -> dict[str, Any]:
        edges = [
            {"node": {"id": name, "displayName": view["displayName"], "spec": view["spec"]}}
            for name, view in self.views.items()
            if name == given["viewName"]
        ]
        return {"project": {"allViews": {"edges": edges}}}

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
            self.send_response(status)
            self.send_header("content-length", str(len(reply)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_POST = do_PUT = answer

        def reply(self, body: bytes) -> tuple[int, bytes]:
            if self.path.startswith("/sdk/otel"):  # telemetry
                return 200, b"{}"
            server.requests.append(self.path)
            if server.refusal:
                return server.refusal, b'{"errors": [{"message": "refused"}]}'
            if self.path == "/graphql":
                return self.graphql(json.loads(body))
            if found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                server.stream(found[1], json.loads(body))
                return 200, b"{}"
            if self.path.startswith("/storage/"):
                return 200, b"{}"
            return 404, b"{}"

        def graphql(self, asked: dict[str, Any]) -> tuple[int, bytes]:
            operation = asked.get("operationName") or re.findall(r"\w+", asked["query"])[1]
            server.requests[-1] = operation
            try:
                data = server.graphql(operation, asked.get("variables") or {})
            except NotImplementedError:
                server.requests[-1] = f"unknown: {operation} {json.dumps(asked)}"
                message = f"this server does not know {operation}"
                return 200, json.dumps({"errors": [{"message": message}]}).encode()
            return 200, json.dumps({"data": data}).encode()

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
