"""Does a person get a login, does it stay fresh in all processes at once, and does it end?"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
import requests
from conftest import sign_in, write
from lookalike import Lookalike

import trackgate_mlflow
from trackgate_mlflow import TrackgateAuth, TrackgateError
from trackgate_mlflow._kept import Kept
from trackgate_mlflow._server import Server
from trackgate_mlflow._sources import Login

TOKEN = "/trackgate/oauth/token"
REVOKE = "/trackgate/oauth/revoke"


@pytest.fixture(autouse=True)
def tracking(servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-alike is the tracking server, and what `login` sets is taken back."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.url)
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "")


def test_a_login_prints_an_address_and_a_code_waits_and_keeps_what_it_gets(servers: Lookalike, kept: Kept) -> None:
    servers.device = ["authorization_pending", "ok"]
    said: List[str] = []
    assert trackgate_mlflow.login(show=said.append) == "alice@example.com"
    text = "\n".join(said)
    assert f"{servers.url}/trackgate/device\n" in text
    assert "BCDF-GHJK" in text
    assert f"{servers.url}/trackgate/device?user_code=BCDF-GHJK" in text
    assert "Signed in as alice@example.com." in text
    assert servers.asked("/trackgate/oauth/device_authorization")[0].form["client_id"] == "trackgate-cli"
    written = json.loads(kept.file.read_text())["servers"][servers.url]
    assert written["user"] == "alice@example.com"
    assert written["token_endpoint"] == servers.url + TOKEN
    assert written["refresh_expires_at"] > time.time() + 80 * 86400
    assert "tgl_" not in text and "tgr_" not in text
    # MLflow is told, in this process and in those that it starts.
    assert os.environ["MLFLOW_TRACKING_AUTH"] == "trackgate"
    assert trackgate_mlflow.whoami()["user"] == "alice@example.com"


def test_a_server_that_is_named_becomes_the_tracking_server(
    servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.device = ["ok"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    trackgate_mlflow.login(servers.url + "/", show=lambda _: None)
    assert os.environ["MLFLOW_TRACKING_URI"] == servers.url


def test_the_login_is_kept_under_the_address_that_the_server_calls_itself(
    servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow lies below a prefix, Trackgate's own pages at the root.
    servers.device = ["ok"]
    servers.more["/team/.well-known/oauth-authorization-server"] = (404, {}, b"{}")
    trackgate_mlflow.login(servers.url + "/team", show=lambda _: None)
    assert list(json.loads(kept.file.read_text())["servers"]) == [servers.url]
    assert trackgate_mlflow.whoami(servers.url + "/team")["user"] == "alice@example.com"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["access_denied"], "the login was refused"),
        (["authorization_pending", "expired_token"], "has run out before anybody signed in"),
        (["invalid_grant"], "refuses"),
    ],
)
def test_a_login_that_nobody_finishes_says_so_and_keeps_nothing(
    servers: Lookalike, kept: Kept, words: List[str], said: str
) -> None:
    servers.device = words
    with pytest.raises(TrackgateError, match=said):
        trackgate_mlflow.login(show=lambda _: None)
    assert not kept.file.exists()


def test_behind_iap_signing_in_and_renewing_show_the_proof_for_it(
    servers: Lookalike, kept: Kept, auth: TrackgateAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.device = ["ok"]
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_IAP_AUDIENCE", "1234.apps.googleusercontent.com")
    servers.access_lasts = -1
    trackgate_mlflow.login(show=lambda _: None)
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
    trackgate_mlflow.logout()
    ours = [seen for seen in servers.seen if not seen.path.startswith("/computeMetadata/")]
    assert {seen.path for seen in ours} >= {TOKEN, "/trackgate/oauth/revoke", "/.well-known/oauth-authorization-server"}
    assert [seen.path for seen in ours if not seen.headers.get("proxy-authorization", "").startswith("Bearer ey")] == []


def test_asking_too_often_leads_to_asking_less_often(servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.device = ["slow_down", "slow_down", "ok"]
    slept: List[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    trackgate_mlflow.login(show=lambda _: None)
    waits = [pause for pause in slept if pause >= 0.1]
    assert waits == [0.1, 5.1, 10.1]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"issuer": "https://other.example.com"}, "calls itself https://other.example.com"),
        ({"token_endpoint": "https://evil.example/token"}, "names an address elsewhere"),
        ({"device_authorization_endpoint": "http://127.0.0.1:1/x"}, "names an address elsewhere"),
        ({"device_authorization_endpoint": None}, "has no sign-in by a code"),
        ({"token_endpoint": None}, "is no Trackgate"),
        ({"verification_uri": "https://evil.example/device"}, "cannot be used"),
        ({"verification_uri_complete": "https://evil.example/device"}, "cannot be used"),
        ({"user_code": "\x1b[2J"}, "cannot be used"),
        ({"expires_in": "soon"}, "cannot be understood"),
    ],
)
def test_a_server_that_leads_elsewhere_gets_nobody(servers: Lookalike, kept: Kept, changes: Dict[str, Any], word: str) -> None:
    servers.changes = changes
    with pytest.raises(TrackgateError, match=word):
        trackgate_mlflow.login(show=lambda _: None)
    assert not servers.asked(TOKEN)


def test_what_is_no_trackgate_is_said(servers: Lookalike, kept: Kept) -> None:
    path = "/.well-known/oauth-authorization-server"
    for answer, word in [
        ((404, {}, b"not found"), "it answers 404"),
        ((200, {}, b"<html>"), "it answers 200"),
        ((302, {"Location": "https://idp.example"}, b""), "another sign-in before it"),
    ]:
        servers.more[path] = answer
        with pytest.raises(TrackgateError, match=f"is no Trackgate.*{word}"):
            trackgate_mlflow.login(show=lambda _: None)


def test_without_a_server_it_says_how_to_name_one(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    with pytest.raises(TrackgateError, match="say which server"):
        trackgate_mlflow.login()


def test_a_token_that_comes_first_is_told_of(servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.device = ["ok"]
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    said: List[str] = []
    trackgate_mlflow.login(show=said.append)
    assert "TRACKGATE_TOKEN is set and comes first" in said[-1]


def test_a_logout_ends_it_here_and_there(servers: Lookalike, kept: Kept, auth: TrackgateAuth) -> None:
    entry = sign_in(kept, servers)
    trackgate_mlflow.logout()
    assert servers.asked("/trackgate/oauth/revoke")[0].form["token"] == entry["refresh_token"]
    assert list(json.loads(kept.file.read_text())["servers"]) == ["https://other.example.com"]
    assert entry["access_token"] not in servers.good
    with pytest.raises(TrackgateError, match="not signed in at"):
        trackgate_mlflow.logout()


def test_a_logout_without_the_server_forgets_and_says_what_is_left(servers: Lookalike, kept: Kept) -> None:
    sign_in(kept, servers)
    servers.down = True
    with pytest.raises(TrackgateError, match=r"forgotten here, but not ended there: .* answers 503"):
        trackgate_mlflow.logout()
    assert servers.url not in json.loads(kept.file.read_text())["servers"]


def test_one_that_has_run_out_is_renewed_and_written_back(servers: Lookalike, kept: Kept, auth: TrackgateAuth) -> None:
    entry = sign_in(kept, servers, lasts=-10)
    for _ in range(3):
        assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
    assert len(servers.asked(TOKEN)) == 1
    document = json.loads(kept.file.read_text())
    written = document["servers"][servers.url]
    assert written["access_token"] != entry["access_token"]
    assert written["refresh_token"] in servers.refresh
    assert written["colour"] == "blue"
    assert document["written_by"] == "somebody else"


def test_one_that_was_refused_is_renewed(servers: Lookalike, kept: Kept, auth: TrackgateAuth) -> None:
    entry = sign_in(kept, servers)
    del servers.good[entry["access_token"]]
    assert requests.post(servers.url + "/echo", data=b"x", auth=auth, timeout=10).content == b"x"
    assert len(servers.asked(TOKEN)) == 1


def test_one_that_was_revoked_says_what_to_do(servers: Lookalike, kept: Kept, auth: TrackgateAuth) -> None:
    sign_in(kept, servers)
    servers.good.clear()
    servers.refresh.clear()
    answer = requests.get(servers.url + "/call", auth=auth, timeout=10)
    assert answer.status_code == 401
    said = answer.json()["message"]
    assert "the login of alice@example.com" in said
    assert f"run: trackgate login {servers.url}  (in a notebook: trackgate_mlflow.login())" in said
    # Somebody signs in again, in another window: the next call works.
    sign_in(kept, servers)
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200


def test_a_server_that_gives_no_refresh_token_is_used_until_the_end(servers: Lookalike, kept: Kept, auth: TrackgateAuth) -> None:
    servers.gives_refresh = False
    sign_in(kept, servers, lasts=60)
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
    sign_in(kept, servers, lasts=-1)
    with pytest.raises(TrackgateError, match="gave no means to renew it; run: trackgate login"):
        requests.get(servers.url + "/call", auth=TrackgateAuth(), timeout=10)


def test_one_renewal_that_gives_no_other_refresh_token_keeps_the_one_before(servers: Lookalike, kept: Kept) -> None:
    entry = sign_in(kept, servers, lasts=-1)
    told = {"access_token": "tgl_new", "token_type": "bearer", "expires_in": 3600}
    servers.more[TOKEN] = (200, {}, json.dumps(told).encode())
    assert Login(Server.parse(servers.url)).fetch(None).text == "tgl_new"
    written = json.loads(kept.file.read_text())["servers"][servers.url]
    assert (written["refresh_token"], written["user"]) == (entry["refresh_token"], "alice@example.com")


def _call(url: str, folder: str, begin: Any, results: Any) -> None:
    os.environ.update(MLFLOW_TRACKING_URI=url, TRACKGATE_CONFIG_DIR=folder, TRACKGATE_CREDENTIAL="login")
    begin.wait(30)
    results.put(requests.get(url + "/call", auth=TrackgateAuth(), timeout=60).status_code)


def test_processes_share_one_renewal_and_lose_no_update(servers: Lookalike, kept: Kept) -> None:
    sign_in(kept, servers, lasts=-10)
    # Long enough that all of them want one at once.
    servers.slow = 0.2
    context = multiprocessing.get_context("spawn")
    begin, results = context.Event(), context.Queue()
    callers = [context.Process(target=_call, args=(servers.url, str(kept.folder), begin, results)) for _ in range(3)]
    for caller in callers:
        caller.start()
    begin.set()
    assert [results.get(timeout=60) for _ in callers] == [200, 200, 200]
    for caller in callers:
        caller.join(60)
    assert len(servers.asked(TOKEN)) == 1
    written = json.loads(kept.file.read_text())["servers"]
    assert written[servers.url]["refresh_token"] in servers.refresh
    assert written["https://other.example.com"] == {"anything": ["at", "all"]}


def _without_powers() -> None:
    """Root may write everywhere; a process without that power is as everybody is (capabilities(7))."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capset(header, (ctypes.c_uint32 * 6)()) == 0


def _read_only(url: str, folder: str, results: Any, error: str) -> None:
    os.environ.update(MLFLOW_TRACKING_URI=url, TRACKGATE_CONFIG_DIR=folder, TRACKGATE_CREDENTIAL="login")
    _without_powers()
    os.dup2(os.open(error, os.O_WRONLY), 2)
    auth = TrackgateAuth()
    for _ in range(3):
        results.put(requests.get(url + "/call", auth=auth, timeout=60).status_code)


@pytest.mark.parametrize("with_lock", [False, True])
def test_from_a_read_only_folder_it_goes_on_in_memory_and_says_so_once(
    servers: Lookalike, kept: Kept, tmp_path: Path, with_lock: bool
) -> None:
    sign_in(kept, servers, lasts=-10)
    before = kept.file.read_bytes()
    if with_lock:
        (kept.folder / "credentials.lock").touch(0o600)
    kept.folder.chmod(0o500)
    error = tmp_path / "stderr"
    error.touch()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    caller = context.Process(target=_read_only, args=(servers.url, str(kept.folder), results, str(error)))
    caller.start()
    assert [results.get(timeout=60) for _ in range(3)] == [200, 200, 200]
    caller.join(60)
    kept.folder.chmod(0o700)
    assert len(servers.asked(TOKEN)) == 1
    assert kept.file.read_bytes() == before
    said = error.read_text()
    assert said.count("cannot be kept") == 1
    assert "will have to sign in again" in said
    assert "tgl_" not in said and "tgr_" not in said


def test_a_login_that_could_not_be_kept_is_refused_before_anybody_signs_in(
    servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrackgateError, match="No space left on device; set TRACKGATE_CONFIG_DIR"):
        trackgate_mlflow.login(show=lambda _: None)
    assert not servers.asked("/trackgate/oauth/device_authorization")
    assert sorted(path.name for path in kept.folder.iterdir()) == ["credentials.lock"]


def test_a_login_ends_the_one_before(servers: Lookalike, kept: Kept) -> None:
    before = sign_in(kept, servers)
    servers.device = ["ok"]
    trackgate_mlflow.login(show=lambda _: None)
    assert [seen.form["token"] for seen in servers.asked(REVOKE)] == [before["refresh_token"]]
    assert before["access_token"] not in servers.good
    assert trackgate_mlflow.whoami()["user"] == "alice@example.com"
    # Where that fails the new one counts all the same, and it is said.
    servers.device = ["ok"]
    servers.more[REVOKE] = (503, {}, b"away")
    said: List[str] = []
    trackgate_mlflow.login(show=said.append)
    assert any("The login before this one could not be ended" in line for line in said)
    assert trackgate_mlflow.whoami()["user"] == "alice@example.com"


def test_a_login_replaces_one_that_cannot_be_understood(servers: Lookalike, kept: Kept) -> None:
    write(kept, {"version": 1, "servers": {servers.url: {"user": 7}}})
    servers.device = ["ok"]
    trackgate_mlflow.login(show=lambda _: None)
    assert servers.asked(REVOKE) == []
    assert json.loads(kept.file.read_text())["servers"][servers.url]["user"] == "alice@example.com"


def test_a_login_that_cannot_be_kept_after_all_is_ended(
    servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sign_in(kept, servers)
    servers.device = ["ok"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    # It could be written when that was tried, and no longer when somebody had signed in.
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TrackgateError, match="No space left on device"):
        trackgate_mlflow.login(show=lambda _: None)
    (revoked,) = servers.asked(REVOKE)
    assert revoked.form["token"] != before["refresh_token"]
    assert list(servers.good) == [before["access_token"]], "the one before stays, and the new one opens nothing"


def test_a_logout_on_a_disk_that_cannot_be_written_ends_it_there(
    servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = sign_in(kept, servers)

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", read_only)
    with pytest.raises(TrackgateError, match="is ended there, and cannot be forgotten here: .*Read-only file system"):
        trackgate_mlflow.logout()
    assert entry["access_token"] not in servers.good
    servers.down = True
    with pytest.raises(TrackgateError, match=r"is not ended there \(.*answers 503\), and cannot be forgotten here"):
        trackgate_mlflow.logout()


def test_a_lost_answer_is_asked_for_again(servers: Lookalike, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = sign_in(kept, servers, lasts=-1)
    answered = servers.answer
    lost: List[int] = []

    def flaky(seen: Any) -> Any:
        if seen.path == TOKEN and not lost:
            lost.append(1)
            answered(seen)
            # The server takes the same one again for a minute (its answer may have been lost, as here).
            servers.refresh[entry["refresh_token"]] = entry["user"]
            return 502, {}, b"bad gateway"
        return answered(seen)

    monkeypatch.setattr(servers, "answer", flaky)
    token = Login(Server.parse(servers.url)).fetch(None)
    assert token.text in servers.good
    assert [seen.form["refresh_token"] for seen in servers.asked(TOKEN)] == [entry["refresh_token"]] * 2
