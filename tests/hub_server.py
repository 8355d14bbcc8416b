"""A stand-in for the Hugging Face hub: serves the data sets of a folder to its own client.

The commit of a data set is a digest of its files. Who sends the token ``TOKEN`` may upload models.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_the_tests"


@contextmanager
def serve(root: Path) -> Iterator[dict[str, str]]:
    """Serve ``root/OWNER/NAME/`` as data sets; yield the variables that lead a client here."""

    class Handler(_Handler):
        folder = root

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        home = root.parent / "huggingface"
        address = f"http://127.0.0.1:{server.server_port}"
        yield {"HF_ENDPOINT": address, "HF_HOME": str(home), "no_proxy": "127.0.0.1"}
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    commit = ""

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, *parts = self.path.removeprefix("/api/").split("/")
        if kind not in {"repos", "models", "validate-yaml"}:
            self._answer(b"{}", 404)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(b'{"error": "Invalid username or password."}', 401)
        elif kind == "repos":
            asked = json.loads(body)
            place = f"{asked['organization']}/{asked['name']}"
            self._json({"url": f"http://{self.headers['Host']}/{place}"})
        elif kind == "models":
            owner, name, action, _ = parts
            self._upload(action, body, self.folder / owner / name)
        else:
            self._json({"errors": [], "warnings": []})

    def _upload(self, action: str, body: bytes, repository: Path) -> None:
        if action == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular"} for file in files]
            self._json({"files": [{**mode, "shouldIgnore": False} for mode in modes]})
            return
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                path = repository / line["value"]["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(line["value"]["content"]))
        place = repository.relative_to(self.folder)
        url = f"http://{self.headers['Host']}/{place}/commit/{40 * '0'}"
        self._json({"commitUrl": url, "commitOid": 40 * "0", "success": True})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        kind, _, rest = unquote(parts.path).strip("/").partition("datasets/")
        owner, name, *rest = (*rest.split("/", 3), "", "")[:4]
        repository = self.folder / owner / name
        action, _, path = "/".join(rest).strip("/").partition("/")
        path = path.partition("/")[2]  # behind a branch or commit
        if not (owner and name and repository.is_dir()):
            self._answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
            return
        files = sorted(file for file in repository.rglob("*") if file.is_file())
        self.commit = hashlib.sha1("".join(map(_digest, files)).encode()).hexdigest()
        if action == "resolve":
            file = repository / path
            if file.is_file():
                self._answer(file.read_bytes(), 200, {"ETag": f'"{_digest(file)}"'})
            else:
                self._answer(b"", 404, {"X-Error-Code": "EntryNotFound"})
        elif action == "tree":
            deep = parse_qs(parts.query).get("recursive") == ["true"]
            found = sorted((repository / path).glob("**/*" if deep else "*"))
            self._json([_entry(file, repository) for file in found])
        elif kind == "api/":
            siblings = [{"rfilename": str(file.relative_to(repository))} for file in files]
            self._json(
                {"id": f"{owner}/{name}", "sha": self.commit, "siblings": siblings, "tags": []}
            )

    def _json(self, value: object) -> None:
        self._answer(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})

    def _answer(self, body: bytes, code: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in {"X-Repo-Commit": self.commit, **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(file: Path, repository: Path) -> dict[str, object]:
    path = str(file.relative_to(repository))
    if file.is_dir():
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
    return {"type": "file", "path": path, "oid": _digest(file), "size": file.stat().st_size}


def _digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
