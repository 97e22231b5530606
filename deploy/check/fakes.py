"""What stands around the gate in the check: MLflow on 5000 (not with --no-mlflow), an identity provider and IAP on 9000. They know
just enough."""

import base64, json, subprocess, sys, threading, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = sys.argv[1]
ISSUER = "http://127.0.0.1:9000"
NONCES = {}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*words, data=None):
    return subprocess.run(["openssl", *words], input=data, check=True, capture_output=True).stdout


MODULUS = bytes.fromhex(openssl("rsa", "-in", KEY, "-noout", "-modulus").decode().strip().split("=")[1])


def token(nonce):
    head = b64(json.dumps({"alg": "RS256", "kid": "k1", "typ": "JWT"}).encode())
    now = int(time.time())
    body = b64(json.dumps({
        "iss": ISSUER, "aud": "trackgate", "sub": "1", "email": "alice@example.com", "email_verified": True,
        "iat": now, "exp": now + 3600, "nonce": nonce,
    }).encode())
    signed = f"{head}.{body}"
    return signed + "." + b64(openssl("dgst", "-sha256", "-sign", KEY, data=signed.encode()))


IAP = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
with open(KEY + ".iap", "wb") as file:
    file.write(IAP)
POINT = openssl("ec", "-pubout", "-outform", "DER", data=IAP)[-64:]


def assertion(audience, email):
    """What Google's IAP says of who comes."""
    now = int(time.time())
    head = b64(json.dumps({"alg": "ES256", "kid": "i1", "typ": "JWT"}).encode())
    body = b64(json.dumps({
        "iss": "https://cloud.google.com/iap", "aud": audience, "sub": "accounts.google.com:" + email, "email": email,
        "hd": email.split("@")[1], "iat": now, "exp": now + 600,
    }).encode())
    der = openssl("dgst", "-sha256", "-sign", KEY + ".iap", data=f"{head}.{body}".encode())
    # SEQUENCE of two INTEGERs, each of at most 33 bytes.
    length = der[3]
    halves = der[4:4 + length], der[6 + length:]
    return f"{head}.{body}." + b64(b"".join(int.from_bytes(half, "big").to_bytes(32, "big") for half in halves))


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, body, status=200, kind="application/json", **fields):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class MLflow(Answer):
    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/version":
            self.say("3.17.2", kind="text/plain")
        elif path.endswith("/mlflow/experiments/get"):
            self.say({"experiment": {"experiment_id": "1", "name": "one", "lifecycle_stage": "active", "tags": []}})
        else:
            self.say("<title>MLflow</title>", kind="text/html")


class Provider(Answer):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/.well-known/openid-configuration":
            self.say({
                "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/authorize", "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/keys", "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
            })
        elif url.path == "/keys":
            self.say({"keys": [{"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": b64(MODULUS), "e": "AQAB"}]})
        elif url.path == "/iap":
            self.say({"keys": [{"kty": "EC", "crv": "P-256", "kid": "i1", "use": "sig", "alg": "ES256", "x": b64(POINT[:32]), "y": b64(POINT[32:])}]})
        elif url.path == "/assertion":
            asked = dict(urllib.parse.parse_qsl(url.query))
            self.say(assertion(asked["aud"], asked["email"]), kind="text/plain")
        elif url.path == "/authorize":
            asked = dict(urllib.parse.parse_qsl(url.query))
            code = f"code-{len(NONCES)}"
            NONCES[code] = asked["nonce"]
            back = urllib.parse.urlencode({"code": code, "state": asked["state"]})
            self.say("", 302, Location=f"{asked['redirect_uri']}?{back}")
        else:
            self.say({}, 404)

    def do_POST(self):
        asked = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        # Nobody but the gate knows the secret, which came to it as a credential.
        wanted = "Basic " + base64.b64encode(b"trackgate:hush").decode()
        if self.headers["Authorization"] != wanted:
            self.say({"error": "invalid_client"}, 401)
        else:
            self.say({"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": token(NONCES.pop(asked["code"]))})


for port, kind in ((5000, MLflow), (9000, Provider)):
    if kind is MLflow and "--no-mlflow" in sys.argv:
        continue
    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", port), kind).serve_forever).start()
