"""URLs of git repositories and the credentials for them: which belong together, and what must never stand in a URL."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}
_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@]*:[^/@]*@", re.IGNORECASE)
_WITH_USER = re.compile(r"https?://[^/@]*@", re.IGNORECASE)
TOKEN_USER = "x-access-token"
"""Who signs in where the credentials are a token alone."""

CREDENTIALS_IN_URL = (
    "the URL holds credentials, which every peer would keep for ever; give {url}, and seal them: "
    "clockmesh remote add {url}"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a server of git repositories asks for."""

    user: str
    password: str

    @property
    def basic(self) -> str:
        """As HTTP's Basic authentication has it."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def header(self) -> str:
        return f"AUTHORIZATION: basic {self.basic}"

    @property
    def text(self) -> str:
        """`read_credential` reads it again."""
        return f"{self.user}:{self.password}"

    def __repr__(self) -> str:
        return f"Credential({self.user!r}, ...)"


def read_credential(text: str) -> Credential:
    """From `user:password`, or from a token alone."""
    user, colon, password = text.partition(":")
    return Credential(user, password) if colon else Credential(TOKEN_USER, text)


def holds_credentials(url: str) -> bool:
    """A password, or before an http host any user (many a token stands there)."""
    return bool(_WITH_PASSWORD.match(url) or _WITH_USER.match(url))


def bare(url: str) -> str:
    """The URL as it may be shown and kept: without user and password."""
    return re.sub(r"^([a-z][a-z0-9+.-]*://)[^/@]*@", r"\1", url, count=1, flags=re.IGNORECASE)


def remote_name(url: str) -> str:
    """How credentials for this http(s) URL are called: lower-case scheme and host, no default port, no user, neither
    `.git` nor a slash at its end. '' for what can have none: another scheme, or a path with dots as folders."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ""
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    folders = [folder for folder in parts.path.split("/") if folder]
    if scheme not in _PORTS or not host or any(unquote(folder) in (".", "..") for folder in folders):
        return ""
    shown = f"[{host}]" if ":" in host else host
    place = f"{scheme}://{shown}" + ("" if port in (None, _PORTS[scheme]) else f":{port}")
    return "/".join([place, *folders]).removesuffix(".git")


def covers(name: str, url: str) -> bool:
    """Whether credentials of this name are for this URL: the same place, or one below it."""
    asked = remote_name(url)
    return bool(asked) and (asked == name or asked.startswith(name + "/"))
