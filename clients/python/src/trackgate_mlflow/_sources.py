"""Where does a token come from?

Each source gives one when it is asked, and says what helps when the server refuses what it gave. When one is asked, `_keeper`
says.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Optional, Tuple
from urllib.parse import quote

from . import _http, _oauth
from ._errors import PassingError, TrackgateError
from ._kept import Entry, Kept
from ._life import Token, checked
from ._server import Server

_logger = logging.getLogger("trackgate_mlflow")
# Whoever puts another token into a file may take it away for a moment.
_PAUSES = (0.02, 0.1)
# One that does not say when it ends is used for so long after it was last read.
_ENDLESS = 60.0
# What ends sooner is not taken from the file, but renewed.
_LEAST = 120


class Source:
    """Gives a token when it is asked."""

    #: What it is, for people.
    name = ""
    #: Whether asking costs nothing, so that it is asked each time.
    cheap = False

    def fetch(self, stale: Optional[str]) -> Token:
        """A token that counts now. `stale` is the one that ends soon or that the server refused."""
        raise NotImplementedError

    def glance(self, stale: str) -> Optional[Token]:
        """Another token than `stale`, if one lies here already: nobody is asked for it."""
        return None

    def help(self, server: Server) -> str:
        """What to do when the server refuses what it gives."""
        raise NotImplementedError


class Variable(Source):
    """`TRACKGATE_TOKEN`."""

    name = "TRACKGATE_TOKEN"
    cheap = True

    def fetch(self, stale: Optional[str]) -> Token:
        return Token.of(checked(os.environ.get(self.name, ""), self.name), time.time())

    def help(self, server: Server) -> str:
        return f"make another token at {server.origin}/trackgate/tokens, set it as TRACKGATE_TOKEN, and start the program again"


class File(Source):
    """`TRACKGATE_TOKEN_FILE`, read each time: Kubernetes puts another token into it in time."""

    cheap = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = f"TRACKGATE_TOKEN_FILE ({path})"
        self._last: Optional[Token] = None
        self._failing = False

    def fetch(self, stale: Optional[str]) -> Token:
        # Its age counts from when it was read last: of a JWT the end stays, and one without an end is good for a while.
        try:
            self._last = token = self._patiently()
        except TrackgateError as fault:
            last, now = self._last, time.time()
            if last is None or last.text == stale or not last.is_alive(now) or (last.ends is None and now >= last.got + _ENDLESS):
                raise
            if not self._failing:
                self._failing = True
                _logger.warning("%s; the token that was read before still counts, and is used", fault)
            return last
        self._failing = False
        return token

    def _patiently(self) -> Token:
        for pause in () if self._failing else _PAUSES:
            try:
                return self._read()
            except TrackgateError:
                time.sleep(pause)
        return self._read()

    def _read(self) -> Token:
        try:
            with open(self.path, encoding="ascii") as file:
                text = file.read(64 * 1024)
        except UnicodeDecodeError:
            raise TrackgateError(f"{self.name} holds no token: one token is wanted, on one line") from None
        except OSError as fault:
            raise TrackgateError(f"{self.name} cannot be read: {fault.strerror or fault}") from None
        return Token.of(checked(text, self.name), time.time())

    def help(self, server: Server) -> str:
        return f"put another token into {self.path}; it is read again at each call"


class Login(Source):
    """What `trackgate login` or `trackgate_mlflow.login()` keeps."""

    def __init__(self, server: Server, kept: Optional[Kept] = None) -> None:
        self.server = server
        self.kept = Kept() if kept is None else kept
        self.name = f"the login in {self.kept.file}"
        # What was renewed and could not be kept, and what the file held then.
        self._unkept: Optional[Tuple[Entry, Entry]] = None
        self._told = False

    def fetch(self, stale: Optional[str]) -> Token:
        found = self.kept.read().find(self.server)
        if found is not None and self._suffices(entry := self._newer(found[1]), stale):
            return _of(entry)
        with self.kept.turn():
            document = self.kept.read()
            found = document.find(self.server)
            if found is None:
                raise TrackgateError(f"not signed in at {self.server}; {self.help(self.server)}")
            server, held = found
            entry = self._newer(held)
            # Another process may have been faster.
            if self._suffices(entry, stale):
                return _of(entry)
            try:
                renewed = _oauth.refresh(server, entry)
            except TrackgateError as fault:
                # Where there can be no lock, what the file holds now is what counts.
                again = self.kept.read().find(self.server)
                for other in (again[1] if again is not None else entry, entry):
                    # What counts for a moment is better than nothing, unless it is to be replaced.
                    if other.access_token != stale and other.access_expires_at > time.time():
                        return _of(other)
                if isinstance(fault, _oauth.Ended):
                    raise TrackgateError(f"{fault}; {self.help(server)}") from None
                raise
            document.put(server, renewed)
            try:
                self.kept.write(document)
                self._unkept = None
            except TrackgateError as fault:
                self._unkept = (held, renewed)
                self._say(
                    f"the renewed login at {server} cannot be kept: {fault}. This process goes on with it; what is on the disk "
                    "is used up, and the next one will have to sign in again"
                )
            return _of(renewed)

    def glance(self, stale: str) -> Optional[Token]:
        found = self.kept.read().find(self.server)
        entry = self._newer(found[1]) if found is not None else None
        return _of(entry) if entry is not None and self._suffices(entry, stale) else None

    def help(self, server: Server) -> str:
        return sign_in(server)

    def _newer(self, held: Entry) -> Entry:
        if self._unkept is not None and self._unkept[0].same(held):
            return self._unkept[1]
        self._unkept = None
        return held

    def _say(self, text: str) -> None:
        if not self._told:
            self._told = True
            print(f"trackgate-mlflow: {text}", file=sys.stderr, flush=True)

    @staticmethod
    def _suffices(entry: Entry, stale: Optional[str]) -> bool:
        if entry.access_token == stale:
            return False
        # Where one is to be replaced, what another process has renewed meanwhile will do, however short the server makes them.
        return entry.access_expires_at > time.time() + (_LEAST if stale is None else 0)


def sign_in(server: Server) -> str:
    return f"run: trackgate login {server}  (in a notebook: trackgate_mlflow.login())"


def _of(entry: Entry) -> Token:
    return Token.of(entry.access_token, time.time(), float(entry.access_expires_at))


class GitHub(Source):
    """The ID token of a GitHub Actions job with `permissions: id-token: write`."""

    name = "GitHub Actions"

    def __init__(self, audience: str) -> None:
        self.audience = audience

    def fetch(self, stale: Optional[str]) -> Token:
        url, secret = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"), os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        if not url or not secret:
            raise TrackgateError(
                "GitHub Actions gives this job no ID token: write `permissions: id-token: write` into the workflow"
            )
        url += ("&" if "?" in url else "?") + "audience=" + quote(self.audience, safe="")
        answer = _http.ask("GET", url, who=self.name, headers={"Authorization": f"Bearer {secret}"})
        value = answer.json().get("value")
        if answer.status != 200 or not isinstance(value, str):
            raise PassingError(f"GitHub Actions gives no ID token: it answers {answer.status}")
        return Token.of(checked(value, self.name), time.time())

    def help(self, server: Server) -> str:
        return (
            f"the server must know this repository's tokens for the audience {self.audience}: ask its administrator for a binding"
        )
