"""A git server over HTTP that wants to know who asks: `git http-backend` behind Basic authentication, on loopback."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BACKEND = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-http-backend"


@dataclass
class Server:
    url: str
    folder: Path
    """Its bare repositories."""
    answered: list[int] = field(default_factory=list)


@contextmanager
def serve_git(folder: Path, password: str) -> Iterator[Server]:
    """Every repository below `folder`, for any user with this password."""
    server = Server("", folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server, password)) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def _handler(server: Server, password: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self._body())

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _answer(self, body: bytes) -> None:
            scheme, _, told = self.headers.get("Authorization", "").partition(" ")
            if not told:
                self._say(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            elif scheme.lower() != "basic" or base64.b64decode(told).partition(b":")[2] != password.encode():
                self._say(403, [], b"")
            else:
                self._run(body)

        def _run(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            env = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(server.folder), "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_USER": "somebody",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            }  # fmt: skip
            done = subprocess.run([BACKEND], input=body, env=env, capture_output=True, check=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
            status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
            self._say(status, [pair for pair in fields if pair[0] != "Status"], content)

        def _say(self, status: int, fields: list[tuple[str, str]], content: bytes) -> None:
            server.answered.append(status)
            self.send_response(status)
            for name, value in [*fields, ("Content-Length", str(len(content)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    return Handler
