"""What does each test begin with? An environment that says nothing, a folder of its own, and the servers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from lookalike import Lookalike

from trackgate_mlflow._auth import AUTH, TrackgateAuth
from trackgate_mlflow._kept import Kept

_SAYS = ("TRACKGATE_", "MLFLOW_", "GCE_", "GOOGLE_", "ACTIONS_", "CLOUDSDK_", "XDG_", "REQUESTS_", "CURL_")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine that the tests run on counts."""
    for name in list(os.environ):
        if name.startswith(_SAYS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    AUTH.forget()


@pytest.fixture
def servers() -> Iterator[Lookalike]:
    """The look-alikes."""
    with Lookalike().listening() as lookalike:
        yield lookalike


@pytest.fixture
def auth(servers: Lookalike, monkeypatch: pytest.MonkeyPatch) -> TrackgateAuth:
    """What MLflow would get, for the look-alike as the tracking server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.url)
    return TrackgateAuth()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The file of credentials, in a folder of this test."""
    folder = tmp_path / "config"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("TRACKGATE_CONFIG_DIR", str(folder))
    return Kept()


def sign_in(kept: Kept, servers: Lookalike, lasts: float = 3600) -> Dict[str, Any]:
    """Writes what a login would have left."""
    told = servers.issue()
    entry = {
        "user": told["user"],
        "access_token": told["access_token"],
        "access_expires_at": int(time.time() + lasts),
        "refresh_token": told.get("refresh_token"),
        "refresh_expires_at": int(time.time()) + 90 * 86400,
        "token_endpoint": f"{servers.url}/trackgate/oauth/token",
        "colour": "blue",
    }
    others = {"https://other.example.com": {"anything": ["at", "all"]}}
    write(kept, {"version": 1, "written_by": "somebody else", "servers": {servers.url: entry, **others}})
    return entry


def write(kept: Kept, value: object) -> None:
    """Writes the file, past the code that is tested."""
    kept.file.write_text(value if isinstance(value, str) else json.dumps(value))
    kept.file.chmod(0o600)
