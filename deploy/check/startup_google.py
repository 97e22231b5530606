#!/usr/bin/env python3
"""What Google Cloud gives a VM, as far as the start-up script asks for it: the metadata server, Secret Manager, a bucket.

  startup_google.py PORT FOLDER [ACCOUNT]

ACCOUNT is whom the machine runs as; without, the trainer.
FOLDER/attributes, FOLDER/project and FOLDER/secrets hold a file for each metadata attribute, project attribute and secret,
FOLDER/objects the bucket's. Service accounts' ID tokens are signed by a key of our own; /certs publishes it. Whoever asks for
metadata without `Metadata-Flavor: Google`, or for secrets and objects without an access token of the machine's, gets 403, as there.
Such a token is good for 20 seconds here, so that who keeps one is found out. While FOLDER/unspread exists, IAM does not know
everywhere yet what was granted: whoever asks for a secret or an object for the first time gets 403.
Only Python's own library and `openssl`.
"""

import base64
import json
import pathlib
import re
import secrets
import subprocess
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER = pathlib.Path(sys.argv[2])
KEY = FOLDER / "key.pem"
TOKENS = {}
ASKED = set()
ACCOUNT = f"{sys.argv[3] if sys.argv[3:] else 'trainer'}@demo-project.iam.gserviceaccount.com"
NUMBER = str(110000000000000000000 + sum(ACCOUNT.encode()))


def openssl(*words, stdin=b""):
    return subprocess.run(["openssl", *words], input=stdin, capture_output=True, check=True).stdout


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def id_token(audience, full):
    now = int(time.time())
    claims = {"iss": "https://accounts.google.com", "aud": audience, "azp": NUMBER, "sub": NUMBER, "iat": now, "exp": now + 3600}
    if full:
        claims |= {"email": ACCOUNT, "email_verified": True}
    parts = [{"alg": "RS256", "kid": "one", "typ": "JWT"}, claims]
    body = ".".join(text(json.dumps(part).encode()) for part in parts)
    return body + "." + text(openssl("dgst", "-sha256", "-sign", str(KEY), stdin=body.encode()))


def certs():
    modulus = openssl("rsa", "-in", str(KEY), "-noout", "-modulus").decode().strip().removeprefix("Modulus=")
    return {"keys": [{"kid": "one", "use": "sig", "kty": "RSA", "alg": "RS256", "n": text(bytes.fromhex(modulus)), "e": "AQAB"}]}


def access_token():
    token = secrets.token_urlsafe(32)
    TOKENS[token] = time.monotonic() + 20
    return {"access_token": token, "expires_in": 20, "token_type": "Bearer"}


def spread(path):
    if path in ASKED or not (FOLDER / "unspread").exists():
        return True
    ASKED.add(path)
    return False


def held(kind, name):
    file = FOLDER / kind / name
    return file.read_bytes() if re.fullmatch(r"[A-Za-z0-9._-]+", name) and file.is_file() else None


class Google(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        status, body = self.answer()
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/certs":
            return 200, certs()
        if url.path.startswith("/computeMetadata/v1/"):
            if self.headers.get("Metadata-Flavor") != "Google":
                return 403, b"no Metadata-Flavor"
            return self.metadata(url.path.removeprefix("/computeMetadata/v1/"), asked)
        if TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "), 0) < time.monotonic():
            return 403, b"not an access token of the machine's"
        if not spread(url.path):
            return 403, b"permission denied"
        found = re.fullmatch(r"/v1/projects/demo-project/secrets/([^/]+)/versions/latest:access", url.path)
        if found:
            value = held("secrets", found[1])
            return (404, b"no such secret") if value is None else (200, {"payload": {"data": base64.b64encode(value).decode()}})
        found = re.fullmatch(r"/storage/v1/b/demo-install/o/([^/]+)", url.path)
        value = held("objects", urllib.parse.unquote(found[1])) if found and asked.get("alt") == "media" else None
        return (404, b"no such object") if value is None else (200, value)

    def metadata(self, path, asked):
        account = re.fullmatch(r"instance/service-accounts/(?:default|" + re.escape(ACCOUNT) + ")/([a-z]+)", path)
        if path == "project/project-id":
            return 200, b"demo-project"
        if account and account[1] == "token":
            return 200, access_token()
        if account and account[1] == "email":
            return 200, ACCOUNT.encode()
        if account and account[1] == "identity" and asked.get("audience"):
            return 200, id_token(asked["audience"], asked.get("format") == "full").encode()
        kind, _, name = path.partition("/attributes/")
        value = held("attributes" if kind == "instance" else "project", name)
        return (200, value) if value else (404, b"not here")


if __name__ == "__main__":
    if not KEY.exists():
        openssl("genrsa", "-out", str(KEY), "2048")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Google).serve_forever()
