"""Is a token taken from the place that the environment names, else from the first that has one?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable, Dict, List
from urllib.parse import parse_qs

import pytest
from conftest import sign_in
from lookalike import Lookalike, jwt

from trackgate_mlflow import TrackgateError
from trackgate_mlflow._choose import choose
from trackgate_mlflow._google import Adc, google
from trackgate_mlflow._kept import Kept
from trackgate_mlflow._server import Server
from trackgate_mlflow._sources import File

SERVER = Server.parse("https://mlflow.example.com/team")
AUDIENCE = "https://mlflow.example.com"


def test_the_order_is_the_one_of_trackgate_connect(
    servers: Lookalike, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server.parse(servers.url)
    with pytest.raises(TrackgateError) as fault:
        choose(server)
    for word in ("TRACKGATE_TOKEN", "no login at", "NO_GCE_CHECK", f"trackgate login {servers.url}", "login()"):
        assert word in str(fault.value)
    monkeypatch.delenv("NO_GCE_CHECK")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    with pytest.raises(TrackgateError, match="there is no metadata server"):
        choose(server)
    # From the last to the first: each that is there comes before those that were.
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    assert choose(server).name == "the metadata server"
    adc = tmp_path / "adc.json"
    adc.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(adc))
    assert choose(server).name == f"Application Default Credentials ({adc})"
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", servers.url + "/github")
    assert choose(server).name == "GitHub Actions"
    sign_in(kept, servers)
    assert choose(server).name == f"the login in {kept.file}"
    monkeypatch.setenv("TRACKGATE_TOKEN_FILE", str(tmp_path / "token"))
    assert choose(server).name == f"TRACKGATE_TOKEN_FILE ({tmp_path / 'token'})"
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    assert choose(server).name == "TRACKGATE_TOKEN"
    # And one that is named comes before all.
    for named, name in [
        ("login", f"the login in {kept.file}"),
        ("GitHub", "GitHub Actions"),
        ("adc", f"Application Default Credentials ({adc})"),
        ("metadata", "the metadata server"),
        ("file", f"TRACKGATE_TOKEN_FILE ({tmp_path / 'token'})"),
        ("env", "TRACKGATE_TOKEN"),
    ]:
        monkeypatch.setenv("TRACKGATE_CREDENTIAL", named)
        assert choose(server).name == name


@pytest.mark.parametrize(
    ("named", "word"),
    [
        ("vault", "one of login, metadata, adc, file, github, env and none, not vault"),
        ("file", "wants TRACKGATE_TOKEN_FILE"),
        ("adc", "gcloud auth application-default login"),
        ("env", "TRACKGATE_TOKEN is empty"),
        ("github", "id-token: write"),
        ("login", "not signed in at https://mlflow.example.com/team; run: trackgate login"),
    ],
)
def test_a_source_that_is_not_there_says_what_is_missing(
    named: str, word: str, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", named)
    with pytest.raises(TrackgateError) as fault:
        choose(SERVER).fetch(None)
    assert word in str(fault.value)


def test_without_a_home_there_are_the_other_sources(servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("NO_GCE_CHECK")
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    assert choose(SERVER).name == "the metadata server"


def test_what_is_no_metadata_server_gives_no_token(servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    path = "/computeMetadata/v1/instance/service-accounts/default/identity"
    servers.more[path] = (200, {}, jwt().encode())
    with pytest.raises(TrackgateError, match="is no metadata server"):
        choose(SERVER).fetch(None)
    servers.more[path] = (404, {"Metadata-Flavor": "Google"}, b"not here")
    with pytest.raises(TrackgateError, match="is a service account attached"):
        choose(SERVER).fetch(None)
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    with pytest.raises(TrackgateError, match=r"metadata server cannot be reached: .*refused"):
        choose(SERVER).fetch(None)


@pytest.mark.parametrize(
    ("address", "audience"),
    [
        ("https://mlflow.example.com", "https://mlflow.example.com"),
        ("https://MLflow.example.com:443/team/mlflow/", "https://mlflow.example.com"),
        ("https://mlflow.example.com:8443/team", "https://mlflow.example.com:8443"),
    ],
)
def test_the_audience_is_the_servers_origin_without_its_path(
    servers: Lookalike, monkeypatch: pytest.MonkeyPatch, address: str, audience: str
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    # One that is empty is one that is not set.
    monkeypatch.setenv("TRACKGATE_AUDIENCE", "")
    choose(Server.parse(address)).fetch(None)
    assert parse_qs(servers.seen[-1].query)["audience"] == [audience]


def test_a_variable_that_is_empty_is_not_set(servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_GCE_CHECK")
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    for name in ("CREDENTIAL", "TOKEN", "TOKEN_FILE", "AUDIENCE"):
        monkeypatch.setenv(f"TRACKGATE_{name}", "")
    assert choose(SERVER).name == "the metadata server"


def test_a_file_that_cannot_be_read_for_a_moment_loses_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    source = File(str(path))
    slept: List[float] = []

    def written_meanwhile(pause: float) -> None:
        slept.append(pause)
        path.write_text("tgp_one")

    monkeypatch.setattr(time, "sleep", written_meanwhile)
    assert source.fetch(None).text == "tgp_one"
    path.write_text("")
    assert source.fetch(None).text == "tgp_one"
    assert len(slept) == 2


def test_the_last_token_of_a_file_is_used_while_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [time.time()]
    slept: List[float] = []
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "sleep", slept.append)
    path = tmp_path / "token"
    source = File(str(path))
    for text, lasts in ((jwt(600, now=now[0]), 600), ("tgp_endless", 60)):
        path.write_text(text)
        assert source.fetch(None).text == text
        path.unlink()
        for _ in range(3):
            assert source.fetch(None).text == text
        # One that the server refused is no help.
        with pytest.raises(TrackgateError, match="cannot be read"):
            source.fetch(text)
        now[0] += lasts - 1
        assert source.fetch(None).text == text
        now[0] += 1
        with pytest.raises(TrackgateError, match="cannot be read"):
            source.fetch(None)
    assert len(slept) == 4, "patience is for the first failure, not for each call"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and all("still counts" in text and "tgp_" not in text for text in told)


def test_the_audience_is_the_servers_address_or_what_is_said(servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", servers.url + "/github?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job secret")
    choose(SERVER).fetch(None)
    assert parse_qs(servers.seen[-1].query) == {"api-version": ["2.0"], "audience": [AUDIENCE]}
    monkeypatch.setenv("TRACKGATE_AUDIENCE", "the gate & more")
    choose(SERVER).fetch(None)
    assert parse_qs(servers.seen[-1].query)["audience"] == ["the gate & more"]
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "wrong")
    with pytest.raises(TrackgateError, match="it answers 401"):
        choose(SERVER).fetch(None)


# What google-auth makes of each kind of file, with look-alikes of Google's endpoints.


@pytest.fixture
def adc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Dict[str, Any]], Adc]:
    """Writes a file, and gives the source for it."""
    pytest.importorskip("google.auth")

    def made(info: Dict[str, Any]) -> Adc:
        path = tmp_path / "adc.json"
        path.write_text(json.dumps(info))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        source = google(AUDIENCE)
        assert isinstance(source, Adc)
        return source

    return made


def _key(servers: Lookalike) -> Dict[str, Any]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    return {
        "type": "service_account",
        "client_email": "trainer@demo.iam.gserviceaccount.com",
        "private_key": pem,
        "private_key_id": "1",
        "token_uri": servers.url + "/google/token",
    }


def _user(servers: Lookalike) -> Dict[str, Any]:
    return {
        "type": "authorized_user",
        "client_id": "gcloud",
        "client_secret": "x",
        "refresh_token": "1//x",
        "token_uri": servers.url + "/google/token",
    }


def test_a_service_accounts_key(servers: Lookalike, adc: Callable[[Dict[str, Any]], Adc]) -> None:
    token = jwt(aud=AUDIENCE)
    servers.more["/google/token"] = (200, {"Content-Type": "application/json"}, json.dumps({"id_token": token}).encode())
    got = adc(_key(servers)).fetch(None)
    assert got.text == token
    assert got.ends is not None
    assert "assertion" in servers.seen[-1].form


def test_a_person(servers: Lookalike, adc: Callable[[Dict[str, Any]], Adc], monkeypatch: pytest.MonkeyPatch) -> None:
    import google.oauth2.credentials as users

    # google-auth takes no `token_uri` from such a file.
    monkeypatch.setattr(users, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", servers.url + "/google/token")
    token = jwt(aud="gcloud")
    told = {"access_token": "ya29.x", "expires_in": 3599, "id_token": token}
    servers.more["/google/token"] = (200, {"Content-Type": "application/json"}, json.dumps(told).encode())
    source = adc(_user(servers))
    assert source.fetch(None).text == token
    assert "gcloud's own audience" in source.help(SERVER)
    refused = json.dumps({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}).encode()
    servers.more["/google/token"] = (400, {"Content-Type": "application/json"}, refused)
    with pytest.raises(TrackgateError, match="run: gcloud auth application-default login"):
        source.fetch(None)


def test_workload_identity_federation(
    servers: Lookalike, adc: Callable[[Dict[str, Any]], Adc], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from google.auth import iam

    account = "trainer@demo.iam.gserviceaccount.com"
    monkeypatch.setattr(iam, "_IAM_IDTOKEN_ENDPOINT", servers.url + "/iam/{}:generateIdToken")
    token = jwt(aud=AUDIENCE)
    outside = tmp_path / "outside.jwt"
    outside.write_text("outside-token")
    exchanged = {
        "access_token": "federated",
        "expires_in": 3600,
        "token_type": "Bearer",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    servers.more["/sts"] = (200, {"Content-Type": "application/json"}, json.dumps(exchanged).encode())
    made = json.dumps({"token": token}).encode()
    servers.more[f"/iam/{account}:generateIdToken"] = (200, {"Content-Type": "application/json"}, made)
    info: Dict[str, Any] = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": servers.url + "/sts",
        "credential_source": {"file": str(outside)},
        "service_account_impersonation_url": f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
    }
    assert adc(info).fetch(None).text == token
    assert servers.asked("/sts")[0].form["subject_token"] == "outside-token"
    last = servers.seen[-1]
    assert last.headers["authorization"] == "Bearer federated"
    asked = json.loads(last.body)
    assert (asked["audience"], asked["includeEmail"]) == (AUDIENCE, True)
    # Without an account in whose name it is made, Google makes none.
    del info["service_account_impersonation_url"]
    with pytest.raises(TrackgateError, match="TRACKGATE_TOKEN_FILE"):
        adc(info).fetch(None)


def test_impersonation(servers: Lookalike, adc: Callable[[Dict[str, Any]], Adc], monkeypatch: pytest.MonkeyPatch) -> None:
    import google.oauth2.credentials as users
    from google.auth import iam

    account = "trainer@demo.iam.gserviceaccount.com"
    monkeypatch.setattr(users, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", servers.url + "/google/token")
    monkeypatch.setattr(iam, "_IAM_IDTOKEN_ENDPOINT", servers.url + "/iam/{}:generateIdToken")
    monkeypatch.setattr(iam, "_IAM_ENDPOINT", servers.url + "/iam/{}:generateAccessToken")
    token = jwt(aud=AUDIENCE)
    yes = {"Content-Type": "application/json"}
    servers.more["/google/token"] = (200, yes, b'{"access_token": "ya29.x", "expires_in": 3599}')
    made = b'{"accessToken": "ya29.y", "expireTime": "2999-01-01T00:00:00Z"}'
    servers.more[f"/iam/{account}:generateAccessToken"] = (200, yes, made)
    servers.more[f"/iam/{account}:generateIdToken"] = (200, yes, json.dumps({"token": token}).encode())
    info = {
        "type": "impersonated_service_account",
        "source_credentials": _user(servers),
        "service_account_impersonation_url": f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
    }
    assert adc(info).fetch(None).text == token


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "gdch_service_account"}', '{"type": "service_account"}', "\xff"])
def test_a_file_that_cannot_be_used_is_said(text: str, adc: Callable[[Dict[str, Any]], Adc], tmp_path: Path) -> None:
    source = adc({})
    (tmp_path / "adc.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(TrackgateError, match=r"adc\.json"):
        source.fetch(None)


def test_without_google_auth_it_says_what_to_install(
    adc: Callable[[Dict[str, Any]], Adc], monkeypatch: pytest.MonkeyPatch, servers: Lookalike, kept: Kept
) -> None:
    source = adc(_user(servers))
    import sys

    for name in [name for name in sys.modules if name == "google" or name.startswith("google.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(TrackgateError, match=r"pip install 'trackgate-mlflow\[google\]'"):
        source.fetch(None)
    # A machine of Google's has its metadata server all the same.
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.delenv("NO_GCE_CHECK")
    assert choose(SERVER).name == "the metadata server"
