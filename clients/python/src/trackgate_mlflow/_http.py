"""How does this package itself ask a server for something?

With a session of its own each time (nothing is shared with MLflow's, with threads or with forked processes), without
`.netrc`, without following redirects, with a limit to time and size.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Mapping, Optional, Tuple, Union

import requests

from ._errors import PassingError, harmless

_MOST = 256 * 1024
_TIMES: Tuple[float, float] = (10, 20)


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Dict[str, Any]:
        """The object that it holds; an empty one when it holds none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


def trust() -> Dict[str, Any]:
    """By whom MLflow's client wants the tracking server vouched for, and how it proves itself (mutual TLS)."""
    kept: Dict[str, Any] = {}
    verify: Union[bool, str] = True
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        verify = False
    elif path := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        verify = path
    kept["verify"] = verify
    if cert := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        kept["cert"] = cert
    return kept


def ask(
    method: str,
    url: str,
    *,
    who: str,
    headers: Optional[Mapping[str, str]] = None,
    form: Optional[Mapping[str, str]] = None,
    times: Tuple[float, float] = _TIMES,
    proxies: bool = True,
    **more: Any,
) -> Answer:
    """Sends one request; `who` is how the other side is called in a fault."""
    with requests.Session() as session:
        session.trust_env = proxies
        # Without an `auth`, requests would look into ~/.netrc and put what it finds in the place of our header.
        session.auth = _as_it_is
        try:
            with session.request(
                method,
                url,
                headers={"Accept": "application/json", **(headers or {})},
                data=form,
                timeout=times,
                allow_redirects=False,
                stream=True,
                **more,
            ) as response:
                body = b""
                for chunk in response.iter_content(16 * 1024):
                    body += chunk
                    if len(body) > _MOST:
                        raise PassingError(f"{who} gives an answer that is too large")
                return Answer(response.status_code, response.headers, body)
        except (requests.RequestException, OSError) as fault:
            # INVARIANT: what requests says is not repeated as it is: there are addresses in it.
            raise PassingError(f"{who} cannot be reached: {_why(fault)}") from None


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _why(fault: BaseException) -> str:
    """The innermost reason: the outer ones repeat the address, and with it what may be secret."""
    seen = 0
    while seen < 8:
        inner = getattr(fault, "reason", None) or (fault.args[0] if fault.args else None)
        if not isinstance(inner, BaseException):
            break
        fault, seen = inner, seen + 1
    said = str(fault)
    for name in ("Failed to ", "Connection refused", "timed out", "Name or service not known", "certificate verify failed"):
        at = said.find(name)
        if at >= 0:
            return harmless(said[at:].partition(" (_ssl")[0], 160)
    return type(fault).__name__
