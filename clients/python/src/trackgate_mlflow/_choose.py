"""Which source does the environment ask for?

The same places, in the same order, as for `trackgate connect`: `TRACKGATE_TOKEN`, `TRACKGATE_TOKEN_FILE`, a login, GitHub
Actions, Application Default Credentials, the metadata server of Google Cloud. `TRACKGATE_CREDENTIAL` names one, or `none`.
"""

from __future__ import annotations

import os
from typing import List

from ._errors import TrackgateError, harmless
from ._google import Adc, Metadata, adc_file, is_on_google_cloud
from ._server import Server
from ._sources import File, GitHub, Login, Source, Variable, sign_in


def is_none() -> bool:
    """Whether nothing is shown to the server itself: the proxy in front (IAP) tells it who one is."""
    return _name() == "none"


def _name() -> str:
    return os.environ.get("TRACKGATE_CREDENTIAL", "").strip().lower()


def choose(server: Server) -> Source:
    """The source that the environment asks for, or the first that is there."""
    # Without the path: for a server there is one audience, whatever prefix MLflow lies below.
    audience = os.environ.get("TRACKGATE_AUDIENCE") or server.origin
    named = _name()
    if named:
        return _named(named, server, audience)
    if os.environ.get("TRACKGATE_TOKEN"):
        return Variable()
    if path := os.environ.get("TRACKGATE_TOKEN_FILE"):
        return File(path)
    missing: List[str] = ["TRACKGATE_TOKEN and TRACKGATE_TOKEN_FILE are not set"]
    try:
        login = Login(server)
    except TrackgateError as homeless:
        # A container without a home has other sources.
        missing.append(str(homeless))
    else:
        if login.kept.read().find(server) is not None:
            return login
        missing.append(f"there is no login at {server}")
    if os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"):
        return GitHub(audience)
    path_of_adc = adc_file()
    if path_of_adc is not None:
        if _has_google_auth():
            return Adc(path_of_adc, audience)
        missing.append(f"{path_of_adc} needs google-auth (pip install 'trackgate-mlflow[google]')")
    # Whoever wants no questions to it says so with google-auth's own variable.
    if os.environ.get("NO_GCE_CHECK", "").lower() == "true":
        missing.append("NO_GCE_CHECK is set")
    elif is_on_google_cloud():
        return Metadata(audience)
    else:
        missing.append("there is no metadata server")
    raise TrackgateError(f"there is no token for {server} ({'; '.join(missing)}). {sign_in(server)}")


def _named(named: str, server: Server, audience: str) -> Source:
    if named == "env":
        return Variable()
    if named == "file":
        path = os.environ.get("TRACKGATE_TOKEN_FILE")
        if not path:
            raise TrackgateError("TRACKGATE_CREDENTIAL=file wants TRACKGATE_TOKEN_FILE")
        return File(path)
    if named == "login":
        return Login(server)
    if named == "github":
        return GitHub(audience)
    if named == "metadata":
        return Metadata(audience)
    if named == "adc":
        path_of_adc = adc_file()
        if path_of_adc is None:
            raise TrackgateError(
                "there are no Application Default Credentials: set GOOGLE_APPLICATION_CREDENTIALS, "
                "or run: gcloud auth application-default login"
            )
        return Adc(path_of_adc, audience)
    raise TrackgateError(
        f"TRACKGATE_CREDENTIAL is one of login, metadata, adc, file, github, env and none, not {harmless(named, 40)}"
    )


def _has_google_auth() -> bool:
    try:
        import google.auth  # noqa: F401
    except ImportError:
        return False
    return True
