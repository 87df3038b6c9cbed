"""A small web site on loopback whose prices change from visit to visit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOODS = ("apples", "bread", "coffee", "dates")


class Site(ThreadingHTTPServer):
    """Serves /prices as a table; each visit is another day there."""

    daemon_threads = True
    day = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def page(self) -> str:
        rows = "".join(f"<tr><td>{good}</td><td>{self.price(place)}</td></tr>" for place, good in enumerate(GOODS))
        return f"<html><title>Prices, day {self.day}</title><table>{rows}</table></html>"

    def price(self, place: int) -> str:
        return f"{1 + place + 0.1 * ((self.day * (place + 3)) % 7):.2f}"


class _Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if self.path != "/prices":
            self.send_error(404)
            return
        self.server.day += 1
        body = self.server.page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The demo tells its own story."""


@contextmanager
def served_site() -> Iterator[Site]:
    """The site on a free loopback port, until the block ends."""
    site = Site(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()
