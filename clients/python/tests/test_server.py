"""Is a server named in one way, and is a token sent to no other kind of address?"""

from __future__ import annotations

import pytest

from trackgate_mlflow import TrackgateError
from trackgate_mlflow._server import Server, origin_of, tracking_server


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("https://mlflow.example.com", "https://mlflow.example.com"),
        ("HTTPS://MLflow.Example.COM:443/", "https://mlflow.example.com"),
        ("https://mlflow.example.com:8443//", "https://mlflow.example.com:8443"),
        ("https://mlflow.example.com/Team/mlflow/", "https://mlflow.example.com/Team/mlflow"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_server_has_one_spelling(text: str, key: str) -> None:
    assert Server.parse(text).key == key
    assert Server.parse(key).key == key


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("mlflow.example.com", "an address such as"),
        ("", "an address such as"),
        ("ftp://mlflow.example.com", "an address such as"),
        ("https://mlflow.example.com:port", "an address such as"),
        ("http://mlflow.example.com", "https is wanted"),
        ("http://10.0.0.1:5000", "https is wanted"),
        ("http://localhost.evil.example", "https is wanted"),
        ("https://alice:secret@mlflow.example.com", "without user"),
        ("https://mlflow.example.com/?a=b", "without user"),
        ("https://mlflow.example.com/#/models", "without user"),
    ],
)
def test_a_token_goes_to_no_other_kind_of_address(text: str, word: str) -> None:
    with pytest.raises(TrackgateError, match=word) as fault:
        Server.parse(text)
    assert "secret" not in str(fault.value)


def test_a_login_is_found_under_the_address_without_mlflows_prefix() -> None:
    server = Server.parse("https://example.com/team/mlflow")
    assert server.names() == ["https://example.com/team/mlflow", "https://example.com/team", "https://example.com"]


def test_what_lies_on_a_server() -> None:
    server = Server.parse("https://example.com/mlflow")
    assert server.has("https://example.com:443/x")
    for other in ("http://example.com/x", "https://example.com:8443/x", "https://evil.example/", "https://a@example.com/"):
        assert not server.has(other)


@pytest.mark.parametrize("uri", ["databricks", "sqlite:///mlflow.db", "./mlruns", "file:///tmp/mlruns", "databricks://profile"])
def test_tracking_elsewhere_is_no_server(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_server() is None
    assert origin_of(uri) is None


def test_a_name_in_the_tracking_address_is_not_part_of_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://alice:hunter2@example.com/mlflow/")
    server = tracking_server()
    assert server is not None
    assert server.key == "https://example.com/mlflow"
