"""Who stands in for the servers?

One small server on this machine that is all of them: a Trackgate (OAuth metadata, device flow, renewal with rotation, revocation,
`whoami`, and calls that want a token), the metadata server of Google Cloud, and GitHub's maker of ID tokens. It speaks the
protocols as the real ones do, counts what it is asked, and misbehaves when told to.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import secrets
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

Reply = Tuple[int, Dict[str, str], bytes]


def jwt(lasts: float = 3600, *, now: Optional[float] = None, **claims: Any) -> str:
    """A JWT that nobody signed; two are never the same."""
    begins = int(time.time() if now is None else now)
    body = {"iat": begins, "exp": begins + int(lasts), "jti": secrets.token_hex(4), **claims}

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part(body)}.{'s' * 86}"


class Seen:
    """A request that came."""

    def __init__(self, method: str, target: str, headers: Dict[str, str], body: bytes) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body

    @property
    def form(self) -> Dict[str, str]:
        """Its fields."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def token(self) -> Optional[str]:
        """What it shows."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token if kind == "Bearer" else None


class Lookalike:
    """All the servers."""

    def __init__(self) -> None:
        self.seen: List[Seen] = []
        # Tokens that count.
        self.good: Dict[str, str] = {}
        # Refresh tokens that count.
        self.refresh: Dict[str, str] = {}
        # To which login each of them belongs.
        self.family: Dict[str, str] = {}
        self.access_lasts = 3600.0
        self.device: List[str] = []
        self.down = False
        self.slow = 0.0
        self.gives_refresh = True
        self.metadata_life = 3600.0
        # What the metadata server gives instead of fresh tokens, first to last.
        self.metadata_gives: List[str] = []
        self.iap = False
        # Whether the server takes who one is from IAP.
        self.iap_says_who = False
        self.more: Dict[str, Reply] = {}
        self.changes: Dict[str, Any] = {}
        self._lock = threading.Lock()
        self._server: Optional[http.server.ThreadingHTTPServer] = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[Lookalike]:
        """Answers until the block ends."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle_any(self) -> None:
                body = outer._body(self)
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(self.command, self.path, headers, body)
                with outer._lock:
                    outer.seen.append(seen)
                status, fields, text = outer.answer(seen)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **fields}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self._server = server
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    @staticmethod
    def _body(handler: http.server.BaseHTTPRequestHandler) -> bytes:
        if handler.headers.get("transfer-encoding") == "chunked":
            whole = b""
            while size := int(handler.rfile.readline(), 16):
                whole += handler.rfile.read(size)
                handler.rfile.readline()
            handler.rfile.readline()
            return whole
        return handler.rfile.read(int(handler.headers.get("content-length") or 0))

    @property
    def host(self) -> str:
        """Host and port."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}"

    def asked(self, path: str) -> List[Seen]:
        """The requests to a path."""
        with self._lock:
            return [seen for seen in self.seen if seen.path == path]

    def issue(self, user: str = "alice@example.com", family: Optional[str] = None) -> Dict[str, Any]:
        """A pair of tokens, as the token endpoint gives it."""
        access, refresh = f"tgl_{secrets.token_hex(8)}", f"tgr_{secrets.token_hex(8)}"
        self.good[access] = user
        self.family[access] = self.family[refresh] = family or access
        answer: Dict[str, Any] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": int(self.access_lasts),
            "user": user,
        }
        if self.gives_refresh:
            self.refresh[refresh] = user
            answer.update(refresh_token=refresh, refresh_expires_in=90 * 86400)
        return answer

    def answer(self, seen: Seen) -> Reply:
        """What is said to a request."""
        if self.slow:
            time.sleep(self.slow)
        if seen.path in self.more:
            return self.more[seen.path]
        if seen.path.startswith("/computeMetadata/"):
            return self._metadata(seen)
        if seen.path == "/github":
            good = seen.headers.get("authorization") == "Bearer job secret"
            return _json(200, {"value": self._made(seen, 300)}) if good else _json(401, {})
        if self.down:
            return _json(503, {"message": "away"})
        if seen.path == "/.well-known/oauth-authorization-server":
            return _json(200, {**self._about(), **self.changes})
        with self._lock:
            if seen.path == "/trackgate/oauth/token":
                return self._token(seen)
            if seen.path == "/trackgate/oauth/device_authorization":
                return self._begin()
            if seen.path == "/trackgate/oauth/revoke":
                family = self.family.get(seen.form["token"])
                for token in [token for token, of in self.family.items() if of == family]:
                    self.good.pop(token, None)
                    self.refresh.pop(token, None)
                return 200, {}, b""
        return self._call(seen)

    def _about(self) -> Dict[str, Any]:
        return {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/trackgate/oauth/token",
            "device_authorization_endpoint": f"{self.url}/trackgate/oauth/device_authorization",
            "revocation_endpoint": f"{self.url}/trackgate/oauth/revoke",
        }

    def _begin(self) -> Reply:
        told = {
            "device_code": "device-secret",
            "user_code": "BCDF-GHJK",
            "verification_uri": f"{self.url}/trackgate/device",
            "verification_uri_complete": f"{self.url}/trackgate/device?user_code=BCDF-GHJK",
            "expires_in": 600,
            "interval": 0.1,
        }
        return _json(200, {**told, **self.changes})

    def _token(self, seen: Seen) -> Reply:
        form = seen.form
        if form.get("client_id") != "trackgate-cli":
            return _json(401, {"error": "invalid_client"})
        if form["grant_type"] == "refresh_token":
            user = self.refresh.pop(form["refresh_token"], None)
            if user is None:
                return _json(400, {"error": "invalid_grant", "error_description": "used up"})
            return _json(200, self.issue(user, self.family[form["refresh_token"]]))
        if form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code" and form["device_code"] == "device-secret":
            word = self.device.pop(0) if self.device else "authorization_pending"
            return _json(200, self.issue()) if word == "ok" else _json(400, {"error": word})
        return _json(400, {"error": "unsupported_grant_type"})

    def _metadata(self, seen: Seen) -> Reply:
        google = {"Metadata-Flavor": "Google"}
        if seen.headers.get("metadata-flavor") != "Google":
            return 403, google, b"Missing Metadata-Flavor:Google header."
        if seen.path == "/computeMetadata/v1/":
            return 200, google, b"instance/\nproject/\n"
        if seen.path != "/computeMetadata/v1/instance/service-accounts/default/identity":
            return 404, google, b"not here"
        if self.metadata_gives:
            return 200, google, self.metadata_gives.pop(0).encode()
        return 200, google, self._made(seen, self.metadata_life).encode()

    def _made(self, seen: Seen, lasts: float) -> str:
        audience = parse_qs(seen.query)["audience"][0]
        token = jwt(lasts, aud=audience, email="trainer@demo.iam.gserviceaccount.com")
        self.good[token] = "trainer@demo.iam.gserviceaccount.com"
        return token

    def _call(self, seen: Seen) -> Reply:
        """A call that wants a token."""
        shown = ""
        if self.iap or self.iap_says_who:
            # What IAP says before anything behind it is asked.
            shown = seen.headers.get("proxy-authorization", "").partition(" ")[2]
            if self.good.get(shown) is None:
                return 401, {"Content-Type": "text/plain"}, b"Invalid IAP credentials: empty token"
        user = self.good.get(shown if self.iap_says_who else seen.token or "")
        if user is None:
            return _json(401, {"error_code": "UNAUTHENTICATED", "message": "this token does not count"})
        if seen.path == "/trackgate/whoami":
            return _json(200, {"user": user, "proof": "token", "admin": False, "groups": []})
        if seen.path == "/echo":
            return 200, {}, seen.body
        return _json(200, {"user": user})


def _json(status: int, value: object) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def target(url: str) -> str:
    """The path of an address."""
    return urlsplit(url).path
