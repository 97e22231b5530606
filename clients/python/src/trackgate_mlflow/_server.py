"""How is a server named, and to which addresses may its token go?

One spelling, which is also the key in the file of credentials: scheme, host in lower case, the port where it is not the
scheme's own, the path without a slash at its end.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Any, List, Optional, Union
from urllib.parse import urlsplit

from ._errors import TrackgateError

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Server:
    """A Trackgate server."""

    origin: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Server:
        """Reads an address. Its faults do not repeat it: somebody may have put a password into it."""
        origin = origin_of(text)
        parts = urlsplit(text)
        if origin is None:
            raise TrackgateError("an address such as https://mlflow.example.com is wanted")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise TrackgateError("an address without user, password, query and fragment is wanted")
        if not is_secure(origin):
            raise TrackgateError("https is wanted: a token is sent over plain http to this machine alone")
        return cls(origin, parts.path.rstrip("/"))

    @property
    def key(self) -> str:
        """Its one spelling."""
        return self.origin + self.path

    def names(self) -> List[str]:
        """Under what a login at it may be kept: MLflow may live below a prefix, Trackgate's own pages do not."""
        parts = self.path.split("/")
        return [self.origin + "/".join(parts[:n]) for n in range(len(parts), 0, -1)]

    def has(self, url: str) -> bool:
        """Whether an address lies on this very server."""
        return origin_of(url) == self.origin and "@" not in urlsplit(url).netloc

    def __str__(self) -> str:
        return self.key


def origin_of(url: Union[str, bytes, None]) -> Optional[str]:
    """Scheme, host and port in one spelling, or None for what is no web address."""
    try:
        parts = urlsplit(url.decode("ascii") if isinstance(url, bytes) else url or "")
        port = parts.port
    except (ValueError, UnicodeDecodeError):
        return None
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _PORTS or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port in (None, _PORTS[scheme]) else f"{scheme}://{host}:{port}"


def is_secure(origin: str) -> bool:
    """Whether nobody on the way can read what is sent there: https, or this machine."""
    parts = urlsplit(origin)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tracking_uri() -> Optional[str]:
    """What MLflow's client calls its tracking server at this moment."""
    mlflow = _mlflow()
    # Asked each time: `mlflow.set_tracking_uri` changes it, and the environment does not know.
    uri = mlflow.get_tracking_uri() if mlflow is not None else os.environ.get("MLFLOW_TRACKING_URI")
    return uri if isinstance(uri, str) else None


def tracking_server() -> Optional[Server]:
    """The tracking server, or None when tracking goes to a folder, a database or Databricks."""
    uri = tracking_uri()
    if origin_of(uri) is None:
        return None
    parts = urlsplit(uri or "")
    # A name and a password in the address are MLflow's affair, and so is a query: neither is part of the server's name.
    netloc = parts.netloc.rpartition("@")[2]
    return Server.parse(f"{parts.scheme}://{netloc}{parts.path}")


def _mlflow() -> Any:
    try:
        import mlflow

        # `mlflow-tracing` by itself, or an import that is still under way, has no tracking server to tell of.
        return mlflow if hasattr(mlflow, "get_tracking_uri") else None
    except ImportError:
        return None
