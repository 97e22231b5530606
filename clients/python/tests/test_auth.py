"""Does each request to the tracking server have a token that counts, and no other request any?"""

from __future__ import annotations

import base64
import io
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, List

import pytest
import requests
from lookalike import Lookalike, jwt

import trackgate_mlflow
from trackgate_mlflow import TrackgateAuth, TrackgateError, TrackgateRequestAuthProvider
from trackgate_mlflow._google import Adc
from trackgate_mlflow._server import Server

IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity"


def test_the_provider_is_what_mlflow_asks_for() -> None:
    provider = TrackgateRequestAuthProvider()
    assert provider.get_name() == "trackgate"
    # MLflow asks for each request; what is held must not be lost between two.
    assert provider.get_auth() is provider.get_auth()
    assert isinstance(provider.get_auth(), trackgate_mlflow.TrackgateAuth)


def test_the_token_goes_to_the_tracking_server_and_wins_over_what_is_there(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers.good["tgp_x"] = "alice@example.com"
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login netrc password netrc\n")
    (home / ".netrc").chmod(0o600)
    answer = requests.get(servers.url + "/call", auth=auth, headers={"Authorization": "Basic bXk6b3du"}, timeout=10)
    assert answer.json() == {"user": "alice@example.com"}
    assert servers.seen[-1].headers["authorization"] == "Bearer tgp_x"


def test_no_token_goes_elsewhere(auth: TrackgateAuth, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_secret")
    with Lookalike().listening() as bucket:
        for _ in range(2):
            assert requests.put(bucket.url + "/bucket/part", data=b"x", auth=auth, timeout=10).status_code == 401
        assert all("authorization" not in seen.headers for seen in bucket.seen)
        assert len(bucket.seen) == 2
    told = [record for record in caplog.records if "no token is sent to" in record.getMessage()]
    assert len(told) == 1
    assert "tgp_secret" not in caplog.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_token_goes_along_with_a_redirect(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    with Lookalike().listening() as bucket:
        bucket.more["/file"] = (401, {}, b"tell me more")
        servers.more["/leads-away"] = (status, {"Location": f"{bucket.url}/file"}, b"")
        answer = requests.get(servers.url + "/leads-away", auth=auth, timeout=10)
        assert answer.status_code == 401
        assert [dict(seen.headers).get("authorization") for seen in bucket.seen] == [None]


def test_not_even_from_http_to_https_of_one_host(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `requests` itself keeps the field then (Session.should_strip_auth), for the ports 80 and 443.
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    response = requests.Response()
    response.status_code = 307
    response.url = servers.url + "/x"
    response.headers["Location"] = "https://127.0.0.1/x"
    response.request = requests.Request("GET", response.url, auth=auth).prepare()
    assert response.request.headers["Authorization"] == "Bearer tgp_x"
    auth._answered(response)
    assert "Authorization" not in response.request.headers


def test_plain_http_to_another_machine_is_refused(auth: TrackgateAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.com")
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    with pytest.raises(TrackgateError, match="https is wanted"):
        requests.get("http://mlflow.example.com/x", auth=auth, timeout=10)


def test_an_expiry_in_the_middle_of_a_run_fails_no_call(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    with requests.Session() as session:
        for _ in range(48 * 12):
            # Forty-eight hours, a call each five minutes, tokens of an hour: the server forgets what has ended.
            for token in [token for token in servers.good if _ends(token) <= now[0]]:
                del servers.good[token]
            assert session.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
            now[0] += 300
    assert len(servers.asked("/call")) == 576, "none was sent twice"
    assert 48 <= len(servers.asked(IDENTITY)) <= 65
    assert "audience=http%3A%2F%2F127.0.0.1" in servers.asked(IDENTITY)[0].query
    assert "format=full" in servers.asked(IDENTITY)[0].query


def _ends(token: str) -> float:
    # As the server reads it: by its own clock.
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return float(claims["exp"])


def test_a_401_leads_to_one_renewal_and_the_same_request_again(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    # Seems to be fresh here, and does not count there: the clocks differ, or it was revoked.
    servers.metadata_gives = [jwt()]
    body = b"all of it"
    answer = requests.post(servers.url + "/echo", data=body, auth=auth, timeout=10)
    assert (answer.status_code, answer.content) == (200, body)
    assert [seen.body for seen in servers.asked("/echo")] == [body, body]
    assert len(servers.asked(IDENTITY)) == 2
    assert [old.status_code for old in answer.history] == [401]


def test_a_file_that_is_uploaded_is_sent_again_from_where_it_began(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    servers.metadata_gives = [jwt()]
    path = tmp_path / "model.bin"
    path.write_bytes(b"skipped" + bytes(range(256)) * 200)
    with open(path, "rb") as file:
        file.seek(7)
        answer = requests.put(servers.url + "/echo", data=file, auth=auth, timeout=30)
    assert answer.content == bytes(range(256)) * 200
    assert len(servers.asked("/echo")) == 2


def test_before_a_large_upload_the_server_is_asked_whether_it_takes_the_token(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that refuses an upload hangs up while it is sent: over TLS the client sees no 401 then.
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    servers.metadata_gives = [jwt()]
    body = bytes(1_000_000)

    def parts() -> Iterator[bytes]:
        yield body

    for data in (body, io.BytesIO(body), parts()):
        assert requests.put(servers.url + "/echo", data=data, auth=auth, timeout=30).content == body
    assert len(servers.asked("/echo")) == 3, "none was sent twice"
    assert len(servers.asked("/trackgate/whoami")) == 2, "refused, taken, and then not asked again"
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "env")
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_revoked")
    with pytest.raises(TrackgateError, match=r"this token does not count \[trackgate-mlflow: .* start the program again"):
        requests.put(servers.url + "/echo", data=body, auth=auth, timeout=30)
    assert len(servers.asked("/echo")) == 3
    # A server that has no such page is no reason not to try.
    servers.more["/trackgate/whoami"] = (404, {}, b"")
    assert requests.put(servers.url + "/echo", data=body, auth=auth, timeout=30).status_code == 401


def test_what_cannot_be_sent_again_is_said_and_the_next_call_works(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    servers.metadata_gives = [jwt()]
    # Taken a moment ago, and revoked since.
    keeper = auth.keeper(Server.parse(servers.url))
    keeper.accepted(keeper.token())

    def parts() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    first = requests.put(servers.url + "/echo", data=parts(), auth=auth, timeout=10)
    assert first.status_code == 401
    assert "call it once more" in first.json()["message"]
    assert len(servers.asked("/echo")) == 1
    second = requests.put(servers.url + "/echo", data=parts(), auth=auth, timeout=10)
    assert second.content == b"onetwo"


def test_a_download_is_streamed(auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.good["tgp_x"] = "alice@example.com"
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    servers.more["/big"] = (200, {}, b"x" * 5_000_000)
    with requests.get(servers.url + "/big", auth=auth, stream=True, timeout=30) as answer:
        # Not read yet: that is the caller's to do.
        assert answer.raw.tell() == 0
        assert sum(len(chunk) for chunk in answer.iter_content(1 << 20)) == 5_000_000


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("env", "start the program again"),
        ("file", "it is read again at each call"),
        ("metadata", "must count tokens for the audience"),
    ],
)
def test_a_refused_token_leads_to_words_that_say_what_to_do(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, says: str
) -> None:
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", source)
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_revoked")
    file = tmp_path / "token"
    file.write_text("tgp_revoked\n")
    monkeypatch.setenv("TRACKGATE_TOKEN_FILE", str(file))
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    servers.metadata_gives = [jwt(), jwt()]
    answer = requests.get(servers.url + "/call", auth=auth, timeout=10)
    assert answer.status_code == 401
    told = answer.json()
    assert told["error_code"] == "UNAUTHENTICATED"
    assert told["message"].startswith("this token does not count [trackgate-mlflow: ")
    assert says in told["message"]
    assert "tgp_revoked" not in answer.text
    # The same again would only be counted as another wrong try.
    assert len(servers.asked("/call")) == (2 if source == "metadata" else 1)


def test_a_token_file_that_changed_is_read_again(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    monkeypatch.setenv("TRACKGATE_TOKEN_FILE", str(file))
    servers.good = {"one": "a", "two": "b"}
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).json() == {"user": "a"}
    file.write_text("two\n")
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).json() == {"user": "b"}
    # Taken away for a moment: what was in it counts for a while yet, unless the server says otherwise.
    file.unlink()
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).json() == {"user": "b"}
    servers.good = {}
    answer = requests.get(servers.url + "/call", auth=auth, timeout=10)
    assert "cannot be read" in answer.json()["message"]


def test_a_server_that_refuses_for_ever_causes_few_questions_to_the_source(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    servers.more["/call"] = (401, {}, b'{"message": "never"}')
    for _ in range(20):
        assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 401
    assert len(servers.asked(IDENTITY)) == 2


def test_a_server_that_takes_some_calls_and_refuses_others_causes_one_question_a_second(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    servers.more["/never"] = (401, {}, b'{"message": "never"}')
    for asked in (2, 3):
        for _ in range(10):
            assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
            assert requests.get(servers.url + "/never", auth=auth, timeout=10).status_code == 401
        assert len(servers.asked(IDENTITY)) == asked
        now[0] += 1.01


def test_a_proxy_in_front_that_answers_in_its_own_words_is_told_apart(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    servers.more["/call"] = (401, {"Content-Type": "text/html"}, b"<h1>Sign\x1b[31m in</h1>")
    answer = requests.get(servers.url + "/call", auth=auth, stream=True, timeout=10)
    assert "a proxy in front of it answered 401: <h1>Sign?[31m in</h1>" in answer.json()["message"]


def test_threads_share_one_renewal(auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    servers.slow = 0.05
    # The first that is given does not count either: sixteen refusals, one renewal.
    servers.metadata_gives = [jwt()]

    def call(_: int) -> int:
        return requests.get(servers.url + "/call", auth=auth, timeout=30).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(call, range(16))) == {200}
    assert len(servers.asked(IDENTITY)) == 2


def test_nobody_waits_for_a_renewal_while_a_token_counts(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    keeper = auth.keeper(Server.parse(servers.url))
    first = keeper.token()
    now = time.time() + 3000
    monkeypatch.setattr(time, "time", lambda: now)
    entered, leave = threading.Event(), threading.Event()
    fetch = keeper.source.fetch

    def slowly(stale: "str | None") -> object:
        entered.set()
        assert leave.wait(30)
        return fetch(stale)

    monkeypatch.setattr(keeper.source, "fetch", slowly)
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(keeper.token)
        assert entered.wait(30)
        assert keeper.token() == first
        leave.set()
        assert renewing.result(30) != first


def test_a_source_that_is_away_ends_nothing_that_still_counts(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
    now = [time.time() + 3000]
    monkeypatch.setattr(time, "time", lambda: now[0])
    servers.more[IDENTITY] = (503, {"Metadata-Flavor": "Google"}, b"away")
    for _ in range(10):
        assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
    assert len(servers.asked(IDENTITY)) == 1 + 3, "three tries at once, and then a pause"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    now[0] += 700
    with pytest.raises(TrackgateError, match="the metadata server answers 503: away"):
        requests.get(servers.url + "/call", auth=auth, timeout=10)
    del servers.more[IDENTITY]
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200


def test_a_fork_in_the_middle_of_a_renewal_hangs_nobody(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "metadata")
    keeper = auth.keeper(Server.parse(servers.url))
    with keeper._lock, auth._lock:
        child = os.fork()
        if child == 0:
            try:
                status = requests.get(servers.url + "/call", auth=auth, timeout=10).status_code
                os._exit(0 if status == 200 else 1)
            finally:
                os._exit(2)
    end = time.monotonic() + 30
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid or time.monotonic() > end:
            break
        time.sleep(0.01)
    if not pid:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert pid, "the child hangs"
    assert os.waitstatus_to_exitcode(status) == 0


def test_behind_iap_the_proof_for_it_goes_beside_ours(
    auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.iap = True
    servers.good["tgp_x"] = "alice@example.com"
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_IAP_AUDIENCE", "1234.apps.googleusercontent.com")
    answer = requests.post(servers.url + "/echo", data=io.BytesIO(b"body"), auth=auth, timeout=10)
    assert answer.content == b"body"
    assert servers.asked(IDENTITY)[0].query.startswith("audience=1234.apps.googleusercontent.com&")
    last = servers.asked("/echo")[-1]
    assert last.headers["authorization"] == "Bearer tgp_x"
    assert last.headers["proxy-authorization"].startswith("Bearer ey")
    # One that IAP no longer takes is renewed as ours is.
    shown = last.headers["proxy-authorization"].partition(" ")[2]
    del servers.good[shown]
    assert requests.get(servers.url + "/call", auth=auth, timeout=10).status_code == 200
    seen: List[str] = [one.headers["proxy-authorization"] for one in servers.asked("/call")]
    assert len(set(seen)) == 2


def test_what_iap_refuses_is_explained_by_its_own_variable(
    servers: Lookalike, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    auth = TrackgateRequestAuthProvider().get_auth()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.url)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "none")
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    monkeypatch.setenv("TRACKGATE_IAP_AUDIENCE", "1234.apps.googleusercontent.com")
    servers.iap_says_who = True
    servers.more["/call"] = (401, {}, b'{"message": "never"}')
    said = requests.get(servers.url + "/call", auth=auth, timeout=10).json()["message"]
    assert "the OAuth client 1234.apps.googleusercontent.com (another: TRACKGATE_IAP_AUDIENCE)" in said
    assert "TRACKGATE_AUDIENCE" not in said
    for adc in (Adc(tmp_path, "1234", for_iap=True), Adc(tmp_path, "1234")):
        server = Server.parse(servers.url)
        assert ("TRACKGATE_IAP_AUDIENCE" in adc.help(server)) is adc.for_iap
        adc.user = True
        assert ("Identity-Aware Proxy" in adc.help(server)) is adc.for_iap


def test_where_iap_alone_says_who_one_is_nothing_else_is_shown(
    servers: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The one of the process, which shows itself at questions of our own too.
    auth = TrackgateRequestAuthProvider().get_auth()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.url)
    monkeypatch.setenv("TRACKGATE_CREDENTIAL", "none")
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    monkeypatch.setenv("GCE_METADATA_HOST", servers.host)
    for empty in (None, ""):
        if empty is not None:
            monkeypatch.setenv("TRACKGATE_IAP_AUDIENCE", empty)
        with pytest.raises(TrackgateError, match="TRACKGATE_CREDENTIAL=none shows nothing at all without TRACKGATE_IAP_AUDIENCE"):
            requests.get(servers.url + "/call", auth=auth, timeout=10)
    assert servers.seen == []
    monkeypatch.setenv("TRACKGATE_IAP_AUDIENCE", "1234.apps.googleusercontent.com")
    servers.iap_says_who = True
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    body = bytes(100_000)
    for method, path, data in (("PUT", "/echo", body), ("GET", "/call", None), ("PUT", "/echo", body)):
        # Each time the proof before has been revoked: the call is sent again, the upload is tried first.
        servers.good.clear()
        mine = {"Authorization": "Basic bXk6b3du"}
        answer = requests.request(method, servers.url + path, data=data, auth=auth, headers=mine, timeout=10)
        assert answer.status_code == 200
        now[0] += 61
    assert len(servers.asked(IDENTITY)) == 3
    assert len(servers.asked("/echo")) == 2, "none was sent twice"
    assert trackgate_mlflow.whoami()["user"] == "trainer@demo.iam.gserviceaccount.com"
    servers.more["/call"] = (401, {}, b'{"message": "never"}')
    said = requests.get(servers.url + "/call", auth=auth, timeout=10).json()["message"]
    assert "from the metadata server, and refused again" in said
    ours = [seen for seen in servers.seen if not seen.path.startswith("/computeMetadata/")]
    assert [seen for seen in ours if "authorization" in seen.headers] == []


def test_whoami_asks_with_the_same_token(auth: TrackgateAuth, servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.good["tgp_x"] = "alice@example.com"
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_x")
    assert trackgate_mlflow.whoami()["user"] == "alice@example.com"
    monkeypatch.setenv("TRACKGATE_TOKEN", "tgp_other")
    with pytest.raises(TrackgateError, match="does not accept the token: this token does not count"):
        trackgate_mlflow.whoami(servers.url)
