"""How does a token come to each of MLflow's requests, and what happens when the server refuses it?

MLflow asks `get_auth` for each request, and `requests` calls what it got with the request in its final form. The token goes
to the origin of the tracking server alone: not to hosts of artifacts, not along with a redirect. A 401 leads to one renewal,
and the request is sent once more if its body can be.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import Any, Dict, List, MutableMapping, Optional, Tuple
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase
from requests.utils import rewind_body

from . import _oauth
from ._choose import choose, is_none
from ._errors import PassingError, TrackgateError, harmless
from ._google import google
from ._keeper import Keeper
from ._server import Server, origin_of, tracking_server

_logger = logging.getLogger("trackgate_mlflow")
_OURS = "Authorization"
_IAP = "Proxy-Authorization"
# What a choice of source depends on. Values that are secret are not here: whether they are set is enough.
_NAMES = (
    "TRACKGATE_CREDENTIAL",
    "TRACKGATE_TOKEN_FILE",
    "TRACKGATE_AUDIENCE",
    "TRACKGATE_CONFIG_DIR",
    "XDG_CONFIG_HOME",
    "HOME",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
)
_SMALL = 64 * 1024
_Key = Tuple[Optional[str], ...]


class TrackgateAuth(AuthBase):
    """Puts a fresh token on each request to the tracking server. One for the whole process."""

    def __init__(self) -> None:
        self._keepers: Dict[_Key, Keeper] = {}
        self._lock = threading.Lock()
        self._told: Optional[str] = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        server = tracking_server()
        if server is None or origin_of(r.url) != server.origin:
            self._tell_elsewhere(origin_of(r.url), server)
            return r
        proof = self.headers(server)
        if _is_large(r):
            proof = self._tried(server, proof)
        # Nothing but what is ours, also where we show nothing to the server itself.
        r.headers.pop(_OURS, None)
        for name, value in proof.items():
            r.headers[name] = value
        # Typed too narrowly by some versions of the stubs.
        register: Any = r.register_hook
        register("response", self._answered)
        return r

    def headers(self, server: Server) -> Dict[str, str]:
        """What proves to a server who one is."""
        return {field: f"Bearer {keeper.token()}" for field, keeper in self._holders(server)}

    def beside(self) -> Dict[str, str]:
        """What proves it to a proxy in front: IAP looks here first, takes it away, and leaves `Authorization` to the server."""
        iap = self._iap()
        return {} if iap is None else {_IAP: f"Bearer {iap.token()}"}

    def _holders(self, server: Server) -> List[Tuple[str, Keeper]]:
        """Who holds what is shown, and in which field; there is at least one."""
        iap = self._iap()
        holders = [] if is_none() else [(_OURS, self.keeper(server))]
        if iap is not None:
            holders.append((_IAP, iap))
        if not holders:
            raise TrackgateError("TRACKGATE_CREDENTIAL=none shows nothing at all without TRACKGATE_IAP_AUDIENCE")
        return holders

    def _tried(self, server: Server, proof: Dict[str, str]) -> Dict[str, str]:
        """A proof that the server takes, before something large is sent with it.

        A server that refuses an upload closes the connection while the client still writes; over TLS the client then sees a
        broken connection and no 401 (RFC 9112 section 9.6), and there would be nothing to renew a token for.
        """
        holders = self._holders(server)
        field, keeper = holders[0]
        if keeper.was_accepted(_token(proof.get(field))):
            return proof
        for last in (False, True):
            try:
                answer = _oauth.ask(server, "GET", server.origin + _oauth.WHO, proof)
            except PassingError:
                # The upload itself will meet the same, and MLflow's client has its own patience with that.
                return proof
            if answer.status != 401:
                # Another answer says nothing of the token: some other server.
                if answer.status == 200:
                    keeper.accepted(_token(proof.get(field)))
                return proof
            said = harmless(answer.json().get("message") or "the server answered 401")
            if last or not _renew(proof, holders):
                break
        raise TrackgateError(f"{said} [trackgate-mlflow: the token came from {keeper.source.name}; {keeper.source.help(server)}]")

    def keeper(self, server: Server) -> Keeper:
        """Who holds the token for a server."""
        secret = "set" if os.environ.get("TRACKGATE_TOKEN") else None
        github = "set" if os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL") else None
        key = (server.key, secret, github, *(os.environ.get(name) for name in _NAMES))
        keeper = self._keepers.get(key)
        if keeper is None:
            with self._lock:
                keeper = self._keepers.get(key)
                if keeper is None:
                    keeper = self._keepers[key] = Keeper(choose(server))
        return keeper

    def forget(self) -> None:
        """Chooses the source anew: somebody signed in or out."""
        with self._lock:
            self._keepers.clear()

    def _iap(self) -> Optional[Keeper]:
        audience = os.environ.get("TRACKGATE_IAP_AUDIENCE")
        if not audience:
            return None
        key = ("iap", audience, os.environ.get("TRACKGATE_CREDENTIAL"), os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"))
        keeper = self._keepers.get(key)
        if keeper is None:
            with self._lock:
                keeper = self._keepers.setdefault(key, Keeper(google(audience)))
        return keeper

    def _answered(self, response: requests.Response, **how: Any) -> requests.Response:
        request = response.request
        server = tracking_server()
        # A redirect may have led elsewhere: nobody there is told anything, whatever they answer.
        if server is None or origin_of(request.url) != server.origin:
            return response
        if response.is_redirect:
            target = urljoin(response.url, response.headers.get("location", ""))
            if origin_of(target) != server.origin:
                # `requests` would take it along from http to https of one host.
                request.headers.pop(_OURS, None)
                request.headers.pop(_IAP, None)
            return response
        if response.status_code != 401:
            for field, keeper in self._holders(server):
                keeper.accepted(_token(request.headers.get(field)))
            return response
        return self._refused(response, server, how)

    def _refused(self, response: requests.Response, server: Server, how: Dict[str, Any]) -> requests.Response:
        request, holders = response.request, self._holders(server)
        field, keeper = holders[0]
        try:
            changed = _renew(request.headers, holders)
        except TrackgateError as fault:
            return _explain(response, str(fault))
        if not changed:
            return _explain(response, f"the token came from {keeper.source.name}; {keeper.source.help(server)}")
        # Read to its end, so that the connection can be used again.
        _ = response.content
        response.close()
        again = request.copy()
        try:
            if getattr(again, "_body_position", None) is not None:
                rewind_body(again)
            elif not isinstance(again.body, (bytes, str, type(None))):
                raise requests.exceptions.UnrewindableBodyError()
        except requests.exceptions.UnrewindableBodyError:
            return _explain(response, "the token was renewed, but what was being sent cannot be sent again: call it once more")
        connection: Any = response.connection  # type: ignore[attr-defined, unused-ignore]
        second: requests.Response = connection.send(again, **how)
        second.history.append(response)
        second.request = again
        if second.status_code == 401:
            return _explain(second, f"renewed once from {keeper.source.name}, and refused again; {keeper.source.help(server)}")
        keeper.accepted(_token(again.headers.get(field)))
        return second

    def _tell_elsewhere(self, origin: Optional[str], server: Optional[Server]) -> None:
        if origin is not None and origin != self._told:
            self._told = origin
            _logger.warning(
                "no token is sent to %s: the tracking server is %s (mlflow.set_tracking_uri, MLFLOW_TRACKING_URI)",
                harmless(origin),
                server or "none",
            )

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


def _renew(headers: MutableMapping[str, str], holders: List[Tuple[str, Keeper]]) -> bool:
    """Other tokens in the place of those that were refused; whether there is another."""
    changed = False
    # Which of them was refused is not known.
    for field, keeper in holders:
        other = keeper.instead_of(_token(headers.get(field)))
        if other is not None:
            headers[field] = f"Bearer {other}"
            changed = True
    return changed


def _token(field: Optional[str]) -> str:
    return (field or "").partition(" ")[2]


def _is_large(request: requests.PreparedRequest) -> bool:
    """Whether it is longer than what a server still reads of a request that it refuses, or of unknown length."""
    if request.body is None:
        return False
    length = request.headers.get("Content-Length")
    return length is None or not length.isdigit() or int(length) > _SMALL


def _explain(response: requests.Response, why: str) -> requests.Response:
    """Adds to a refusal what helps here. MLflow shows the message, in an exception of its own."""
    said = response.text
    try:
        told = json.loads(said)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        # Not MLflow's form: some proxy in front.
        told = {"message": f"the server or a proxy in front of it answered 401: {harmless(said, 200)}"}
    told.setdefault("error_code", "UNAUTHENTICATED")
    told["message"] = f"{told.get('message', '')} [trackgate-mlflow: {why}]"
    response._content = json.dumps(told).encode()
    response.encoding = "utf-8"
    response.headers["Content-Type"] = "application/json"
    return response


AUTH = TrackgateAuth()
_oauth.beside = AUTH.beside


class TrackgateRequestAuthProvider:
    """What MLflow finds by the entry point `mlflow.request_auth_provider`.

    MLflow (2.22 to 3.18, `mlflow/tracking/request_auth/registry.py`) makes one without arguments and calls these two; a base
    class of its own is not asked for, so that nothing of MLflow is imported while MLflow is being imported.
    """

    def get_name(self) -> str:
        """The value of `MLFLOW_TRACKING_AUTH`."""
        return "trackgate"

    def get_auth(self) -> TrackgateAuth:
        """Called for each request."""
        return AUTH
