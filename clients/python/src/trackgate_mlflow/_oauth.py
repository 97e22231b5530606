"""How does this package speak OAuth with a Trackgate server?

Metadata (RFC 8414), the device flow (RFC 8628), renewal (RFC 6749 section 6) and revocation (RFC 7009), as the public client
that `trackgate login` is too. What a server says of itself sends nobody elsewhere: every address lies on the server that
was asked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from . import _http
from ._errors import PassingError, TrackgateError, harmless
from ._kept import Entry
from ._server import Server

CLIENT = "trackgate-cli"
WHO = "/trackgate/whoami"
_METADATA = "/.well-known/oauth-authorization-server"
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
# Where a server does not say how long a token lasts.
_SHORT = 300
_LONG = 10 * 366 * 86_400


#: What goes along with each question to a server: `_auth` puts the proof for a proxy in front of it here.
beside: Callable[[], Dict[str, str]] = dict


class Ended(TrackgateError):
    """The server gives no other token for this login."""


@dataclass(frozen=True)
class Endpoints:
    """Where a server is asked for what; `server` is the name under which the login is kept."""

    server: Server
    token: str
    device: Optional[str]
    revocation: Optional[str]


@dataclass(frozen=True)
class Device:
    """A login that somebody has to finish elsewhere."""

    code: str
    user_code: str
    address: str
    complete: Optional[str]
    lasts: float
    interval: float


def discover(server: Server) -> Endpoints:
    """Asks a server where it is asked for what."""
    why = ""
    for name in server.names():
        place = Server.parse(name)
        answer = ask(server, "GET", place.key + _METADATA)
        if answer.status >= 500:
            raise PassingError(f"{server} answers {answer.status}")
        told = answer.json() if answer.status == 200 else {}
        if isinstance(told.get("token_endpoint"), str):
            return _endpoints(place, told)
        if 300 <= answer.status < 400:
            why = ": it leads elsewhere; is there another sign-in before it?"
        else:
            why = f": it answers {answer.status} to {_METADATA}"
    raise TrackgateError(f"{server} is no Trackgate, or one that is older than this login{why}")


def _endpoints(place: Server, told: Mapping[str, Any]) -> Endpoints:
    issuer = told.get("issuer")
    # RFC 8414 section 3.3: it must be the one that was asked, or another server's endpoints could be slipped in.
    try:
        same = Server.parse(str(issuer)).key == place.key
    except TrackgateError:
        same = False
    if not same:
        raise TrackgateError(f"{place} calls itself {harmless(issuer)}; use that address")

    def here(member: str) -> Optional[str]:
        address = told.get(member)
        if address is None:
            return None
        if not isinstance(address, str) or not place.has(address):
            raise TrackgateError(f"{place} names an address elsewhere: {harmless(address)}")
        return address

    token = here("token_endpoint")
    if token is None:
        raise TrackgateError(f"{place} gives no tokens")
    return Endpoints(place, token, here("device_authorization_endpoint"), here("revocation_endpoint"))


def begin_device(endpoints: Endpoints, name: str) -> Device:
    """Begins a login (RFC 8628 section 3.1)."""
    server = endpoints.server
    if endpoints.device is None:
        raise TrackgateError(
            f"{server} has no sign-in by a code; make a token at {server.origin}/trackgate/tokens, and set TRACKGATE_TOKEN"
        )
    answer = _post(server, endpoints.device, {"client_id": CLIENT, "device_name": harmless(name, 60)})
    if answer.status != 200:
        raise _refused(server, answer)[1]
    told = answer.json()
    try:
        device = Device(
            code=str(told["device_code"]),
            user_code=str(told["user_code"]),
            address=str(told["verification_uri"]),
            complete=told.get("verification_uri_complete"),
            lasts=min(float(told["expires_in"]), 3600.0),
            interval=max(float(told.get("interval", 5)), 0.1),
        )
    except (KeyError, TypeError, ValueError):
        raise TrackgateError(f"{server} gives an answer that cannot be understood") from None
    # These are shown to a person, who goes there to sign in.
    plain = 1 <= len(device.user_code) <= 32 and all(c.isascii() and (c.isalnum() or c == "-") for c in device.user_code)
    complete = device.complete is None or (isinstance(device.complete, str) and server.has(device.complete))
    if not plain or not complete or not server.has(device.address):
        raise TrackgateError(f"{server} gives a code or an address that cannot be used")
    return device


def wait_device(endpoints: Endpoints, device: Device, sleep: Callable[[float], None]) -> Entry:
    """Asks until somebody has finished the login (RFC 8628 sections 3.4 and 3.5)."""
    server, interval = endpoints.server, device.interval
    end = time.monotonic() + device.lasts
    form = {"grant_type": _DEVICE, "device_code": device.code, "client_id": CLIENT}
    while True:
        sleep(interval)
        if time.monotonic() > end:
            raise TrackgateError(f"nobody signed in within {max(1, round(device.lasts / 60))} minutes; try again")
        try:
            answer = _post(server, endpoints.token, form)
            if answer.status == 200:
                return entry_of(server, answer.json(), endpoints.token, None)
            word, fault = _refused(server, answer)
        except PassingError:
            # RFC 8628 section 3.5: after a connection that timed out, less often.
            interval = min(interval * 2, 60)
            continue
        if word == "slow_down":
            interval += 5
        elif word == "expired_token":
            raise TrackgateError("the code has run out before anybody signed in with it; try again")
        elif word == "access_denied":
            raise TrackgateError(f"the login was refused at {server}")
        elif word != "authorization_pending":
            raise fault


def refresh(server: Server, entry: Entry) -> Entry:
    """Renews a login (RFC 6749 section 6)."""
    if entry.refresh_token is None:
        raise Ended(f"the login of {entry.user} at {server} has run out, and the server gave no means to renew it")
    form = {"grant_type": "refresh_token", "refresh_token": entry.refresh_token, "client_id": CLIENT}
    try:
        answer = _post(server, entry.token_endpoint, form)
    except PassingError:
        # The answer may have been lost on the way; the server takes the same refresh token again for a minute.
        answer = _post(server, entry.token_endpoint, form)
    if answer.status == 200:
        return entry_of(server, answer.json(), entry.token_endpoint, entry)
    word, fault = _refused(server, answer)
    if word == "invalid_grant":
        raise Ended(f"the login of {entry.user} at {server} has ended: it was revoked, or not used for too long")
    raise fault


def revoke(endpoints: Endpoints, entry: Entry) -> None:
    """Ends a login at the server (RFC 7009): what is revoked takes all that belongs to it along."""
    if endpoints.revocation is None:
        raise TrackgateError(f"{endpoints.server} has no way to end a login")
    hint = "refresh_token" if entry.refresh_token else "access_token"
    form = {"token": entry.refresh_token or entry.access_token, "token_type_hint": hint, "client_id": CLIENT}
    answer = _post(endpoints.server, endpoints.revocation, form)
    if answer.status != 200:
        raise _refused(endpoints.server, answer)[1]


def entry_of(server: Server, told: Dict[str, Any], endpoint: str, before: Optional[Entry]) -> Entry:
    """What the token endpoint gave (RFC 6749 section 5.1)."""

    def text(member: str) -> Optional[str]:
        value = told.get(member)
        good = isinstance(value, str) and 0 < len(value) <= 8192 and all("!" <= c <= "~" for c in value)
        return value if good else None

    access, given = text("access_token"), text("refresh_token")
    if access is None or str(told.get("token_type", "")).lower() != "bearer":
        raise TrackgateError(f"{server} gives an answer that cannot be understood")
    now = int(time.time())

    def lasts(member: str) -> Optional[int]:
        value = told.get(member)
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        return now + min(int(value or 0), _LONG) if number else None

    refresh_ends = lasts("refresh_expires_in")
    if given is None and before is not None:
        # Where none is given, the one before stays good.
        given, refresh_ends = before.refresh_token, refresh_ends or before.refresh_expires_at
    user = told.get("user")
    if not isinstance(user, str) or not user or not user.isprintable():
        user = before.user if before is not None else "?"
    return Entry(user, access, lasts("expires_in") or now + _SHORT, given, refresh_ends, endpoint)


def who_am_i(server: Server, headers: Mapping[str, str]) -> Dict[str, Any]:
    """Who one is to a server."""
    answer = ask(server, "GET", server.origin + WHO, headers)
    if answer.status == 200:
        return answer.json()
    said = harmless(answer.json().get("message", "no reason was given"))
    if answer.status == 401:
        raise TrackgateError(f"{server} does not accept the token: {said}")
    raise TrackgateError(f"{server} answers {answer.status}: {said}")


def ask(
    server: Server,
    method: str,
    address: str,
    headers: Optional[Mapping[str, str]] = None,
    form: Optional[Mapping[str, str]] = None,
) -> _http.Answer:
    """Asks a server something, as MLflow's client would reach it."""
    return _http.ask(method, address, who=str(server), headers={**beside(), **(headers or {})}, form=form, **_http.trust())


def _post(server: Server, address: str, form: Mapping[str, str]) -> _http.Answer:
    answer = ask(server, "POST", address, form=form)
    if answer.status >= 500 or answer.status == 429:
        raise PassingError(f"{server} answers {answer.status}")
    return answer


def _refused(server: Server, answer: _http.Answer) -> Tuple[str, TrackgateError]:
    """The word of a refusal (RFC 6749 section 5.2), and a fault of it."""
    told = answer.json()
    word = harmless(told.get("error", ""))
    said = harmless(told.get("error_description") or told.get("message") or word or "no reason was given")
    return word, TrackgateError(f"{server} refuses ({answer.status}): {said}")
