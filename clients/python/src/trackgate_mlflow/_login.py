"""How does a person sign in from a notebook?"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from typing import Any, Callable, Dict, Optional

from . import _oauth
from ._auth import AUTH
from ._errors import TrackgateError
from ._kept import Document, Entry, Kept
from ._server import Server, tracking_server


def login(server: Optional[str] = None, *, show: Callable[[str], None] = print) -> str:
    """Signs in, and makes MLflow use it from now on.

    Prints an address and a code; open the address in any browser, on any machine, sign in and type the code. Waits until
    that is done, at most as long as the server lets it. The login is kept in this person's own folder, renewed by itself,
    and used by `trackgate connect` too.

    Args:
        server: Its address; the tracking server of MLflow's client where it is left out.
        show: Where the words go.

    Returns:
        Who signed in.

    Raises:
        TrackgateError: Nobody signed in, or the server gives no login. Its text says what to do.
    """
    place = _server(server)
    endpoints = _oauth.discover(place)
    kept = Kept()
    # Faults of the file before somebody takes the trouble of signing in.
    kept.read()
    try:
        with kept.turn():
            kept.try_writing()
    except TrackgateError as fault:
        raise TrackgateError(
            f"a login cannot be kept: {fault}; set TRACKGATE_CONFIG_DIR to a folder of yours that can be written"
        ) from None
    device = _oauth.begin_device(endpoints, socket.gethostname())
    show(f"To sign in to {place}, open\n\n    {device.address}\n\nand type the code\n\n    {device.user_code}\n")
    if device.complete is not None:
        show(f"(or open {device.complete})")
    show(f"Waiting, at most {max(1, round(device.lasts / 60))} minutes ...")
    entry = _oauth.wait_device(endpoints, device, time.sleep)
    try:
        if entry.user == "?":
            who = _oauth.who_am_i(endpoints.server, {"Authorization": f"Bearer {entry.access_token}"})
            entry = dataclasses.replace(entry, user=str(who.get("user") or "?"))
        with kept.turn():
            document = kept.read()
            before = _before(document, endpoints.server)
            document.put(endpoints.server, entry)
            kept.write(document)
    except TrackgateError:
        # Nobody has it then; it should open nothing.
        with contextlib.suppress(TrackgateError):
            _oauth.revoke(endpoints, entry)
        raise
    AUTH.forget()
    if before is not None and endpoints.revocation is not None:
        try:
            _oauth.revoke(endpoints, before)
        except TrackgateError as fault:
            show(f"The login before this one could not be ended: {fault}; end it at {place.origin}/trackgate/tokens")
    _use(place, server is not None)
    show(f"Signed in as {entry.user}.")
    for name in ("TRACKGATE_TOKEN", "TRACKGATE_TOKEN_FILE"):
        if os.environ.get(name) and os.environ.get("TRACKGATE_CREDENTIAL") != "login":
            show(f"{name} is set and comes first: unset it, or set TRACKGATE_CREDENTIAL=login, to use this login.")
    return entry.user


def logout(server: Optional[str] = None) -> None:
    """Ends the login at a server, there and here.

    Raises:
        TrackgateError: There is none; or it was forgotten here, and the server could not be told; or it was ended there, and the
            file could not be written.
    """
    place = _server(server)
    kept = Kept()
    with kept.turn():
        document = kept.read()
        found = document.find(place)
        if found is None:
            raise TrackgateError(f"not signed in at {place}")
        name, entry = found
        # There first: on a disk that cannot be written it can at least be ended.
        unended: Optional[TrackgateError] = None
        try:
            _oauth.revoke(_oauth.discover(name), entry)
        except TrackgateError as fault:
            unended = fault
        AUTH.forget()
        document.remove(name)
        try:
            kept.write(document)
        except TrackgateError as fault:
            there = "is ended there" if unended is None else f"is not ended there ({unended})"
            raise TrackgateError(f"the login at {name} {there}, and cannot be forgotten here: {fault}") from None
    if unended is not None:
        raise TrackgateError(
            f"the login at {name} is forgotten here, but not ended there: {unended}; end it at {name.origin}/trackgate/tokens"
        )


def whoami(server: Optional[str] = None) -> Dict[str, Any]:
    """Who one is to the server, by the token that MLflow's requests have.

    Returns:
        `user`, `proof`, `issuer`, `admin`, `groups` and `until`.

    Raises:
        TrackgateError: There is no token, or the server does not take it.
    """
    place = _server(server)
    return _oauth.who_am_i(place, AUTH.headers(place))


def _before(document: Document, server: Server) -> Optional[Entry]:
    """What is kept for the very server. What cannot be understood of it is replaced by whoever signs in anew."""
    with contextlib.suppress(TrackgateError):
        found = document.find(server)
        if found is not None and found[0].key == server.key:
            return found[1]
    return None


def _server(address: Optional[str]) -> Server:
    if address is not None:
        return Server.parse(address)
    found = tracking_server()
    if found is None:
        raise TrackgateError(
            "say which server: trackgate_mlflow.login('https://mlflow.example.com'), or set MLFLOW_TRACKING_URI first"
        )
    return found


def _use(server: Server, named: bool) -> None:
    """Makes MLflow's client use the login, in this process and in those that it starts."""
    os.environ["MLFLOW_TRACKING_AUTH"] = "trackgate"
    if not named:
        return
    try:
        import mlflow
    except ImportError:
        os.environ["MLFLOW_TRACKING_URI"] = server.key
        return
    current = tracking_server_or_none()
    # A prefix that was set already stays: it is the same server.
    if current is None or current.origin != server.origin:
        mlflow.set_tracking_uri(server.key)


def tracking_server_or_none() -> Optional[Server]:
    """As `tracking_server`, for an address that no token may be sent to."""
    try:
        return tracking_server()
    except TrackgateError:
        return None
