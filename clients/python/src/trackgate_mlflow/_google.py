"""How does Google say who this machine or this job is?

The metadata server is asked directly: that needs no other package. Files of Application Default Credentials are read by
google-auth, where it is installed (`pip install 'trackgate-mlflow[google]'`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

import requests

from . import _http
from ._errors import PassingError, TrackgateError, harmless
from ._life import Token, checked
from ._server import Server
from ._sources import Source

_CLOUD = "https://www.googleapis.com/auth/cloud-platform"


class Metadata(Source):
    """The metadata server of Google Cloud: VM, GKE with Workload Identity, Cloud Run, Vertex AI."""

    name = "the metadata server"

    def __init__(self, audience: str, for_iap: bool = False) -> None:
        self.audience = audience
        self.for_iap = for_iap

    def fetch(self, stale: Optional[str]) -> Token:
        path = f"instance/service-accounts/default/identity?audience={quote(self.audience, safe='')}&format=full"
        fault: Optional[PassingError] = None
        for _ in range(3):
            try:
                answer = _metadata(path)
            except PassingError as away:
                fault = away
                continue
            if answer.headers.get("Metadata-Flavor") != "Google":
                raise TrackgateError(f"what answers at {_metadata_host()} is no metadata server of Google Cloud")
            if answer.status == 200:
                return Token.of(checked(answer.body.decode("ascii", "replace"), self.name), time.time())
            said = harmless(answer.body.decode("ascii", "replace").strip(), 120)
            if answer.status >= 500 or answer.status == 429:
                fault = PassingError(f"the metadata server answers {answer.status}: {said}")
                continue
            raise TrackgateError(
                f"the metadata server gives no ID token ({answer.status}: {said}); "
                "is a service account attached to this machine or job?"
            )
        raise fault if fault is not None else PassingError("the metadata server did not answer")

    def help(self, server: Server) -> str:
        return _wanted(self.audience, self.for_iap, "this machine's service account")


def _metadata_host() -> str:
    # The address, not the name: a name is looked up, and could be answered by somebody else.
    host = os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_ROOT") or os.environ.get("GCE_METADATA_IP")
    return "169.254.169.254" if not host or host == "metadata.google.internal" else host


def _metadata(path: str) -> _http.Answer:
    url = f"http://{_metadata_host()}/computeMetadata/v1/{path}"
    return _http.ask("GET", url, who="the metadata server", headers={"Metadata-Flavor": "Google"}, times=(1.5, 10), proxies=False)


def is_on_google_cloud() -> bool:
    try:
        return _metadata("").headers.get("Metadata-Flavor") == "Google"
    except PassingError:
        return False


class Adc(Source):
    """Application Default Credentials in a file, by google-auth."""

    def __init__(self, path: Path, audience: str, for_iap: bool = False) -> None:
        self.path = path
        self.audience = audience
        self.for_iap = for_iap
        self.name = f"Application Default Credentials ({path})"
        self.user = False

    def fetch(self, stale: Optional[str]) -> Token:
        try:
            import google.auth.exceptions
            import google.auth.transport.requests
        except ImportError:
            raise TrackgateError(f"{self.name} need google-auth; run: pip install 'trackgate-mlflow[google]'") from None
        try:
            request = google.auth.transport.requests.Request()
            credentials = self._credentials()
            credentials.refresh(request)
            text = credentials.id_token if self.user else credentials.token
        except (google.auth.exceptions.TransportError, requests.RequestException) as fault:
            raise PassingError(f"Google cannot be reached with {self.name}: {harmless(fault)}") from None
        except google.auth.exceptions.GoogleAuthError as fault:
            again = "; run: gcloud auth application-default login" if self.user else ""
            raise TrackgateError(f"{self.name} give no ID token: {harmless(fault)}{again}") from None
        except (OSError, ValueError) as fault:
            raise TrackgateError(f"{self.name} cannot be used: {harmless(fault)}") from None
        if not isinstance(text, str):
            raise TrackgateError(f"{self.name} give no ID token")
        return Token.of(checked(text, self.name), time.time())

    def _credentials(self) -> Any:
        """google-auth's credentials of the file's kind, for ID tokens."""
        import google.auth.impersonated_credentials as impersonated
        import google.oauth2.credentials
        from google.oauth2 import service_account

        with open(self.path, encoding="utf-8") as file:
            info = json.load(file)
        kind = info.get("type") if isinstance(info, dict) else None
        if kind == "service_account":
            return service_account.IDTokenCredentials.from_service_account_info(info, target_audience=self.audience)
        if kind == "authorized_user":
            # A person's own: Google makes ID tokens for gcloud itself, whatever audience is asked for.
            self.user = True
            return google.oauth2.credentials.Credentials.from_authorized_user_info(info)
        if kind == "impersonated_service_account":
            target = impersonated.Credentials.from_impersonated_service_account_info(info, scopes=[_CLOUD])
        elif kind == "external_account":
            target = self._federated(info, impersonated)
        else:
            raise TrackgateError(f"{self.name} are of a kind that gives no ID tokens: {harmless(kind)}")
        return impersonated.IDTokenCredentials(target_credentials=target, target_audience=self.audience, include_email=True)

    def _federated(self, info: Any, impersonated: Any) -> Any:
        """Workload identity federation: the service account that the file impersonates makes the ID token."""
        url = info.pop("service_account_impersonation_url", None)
        account = str(url or "").rpartition("/")[2].partition(":")[0]
        if not account:
            raise TrackgateError(
                f"{self.name} impersonate no service account, and Google makes ID tokens for those alone; "
                "set TRACKGATE_TOKEN_FILE to the outside identity's own token, and ask for a binding to it"
            )
        from google.auth import aws, identity_pool, pluggable

        at = info.get("credential_source") or {}
        kind = aws if "environment_id" in at else pluggable if "executable" in at else identity_pool
        source = kind.Credentials.from_info(info, scopes=[_CLOUD])
        return impersonated.Credentials(source_credentials=source, target_principal=account, target_scopes=[_CLOUD])

    def help(self, server: Server) -> str:
        if self.user and not self.for_iap:
            return (
                "a person's Application Default Credentials give tokens for gcloud's own audience, which the server must count; "
                f"better run: trackgate login {server}"
            )
        if self.user:
            return (
                "a person's Application Default Credentials give tokens for gcloud's own audience, which Identity-Aware Proxy "
                "does not count: use those of a service account"
            )
        return _wanted(self.audience, self.for_iap, "the service account")


def _wanted(audience: str, for_iap: bool, account: str) -> str:
    if for_iap:
        return (
            f"Identity-Aware Proxy must be the OAuth client {audience} (another: TRACKGATE_IAP_AUDIENCE), "
            f"and let {account} through"
        )
    return f"the server must count tokens for the audience {audience} (another: TRACKGATE_AUDIENCE), and know {account}"


def adc_file() -> Optional[Path]:
    """Where Application Default Credentials lie, if they do."""
    if named := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    if sys.platform == "win32":
        above = Path(os.environ.get("APPDATA", "")) / "gcloud"
    else:
        above = Path(os.environ.get("HOME", "")) / ".config" / "gcloud"
    path = Path(os.environ.get("CLOUDSDK_CONFIG") or above) / "application_default_credentials.json"
    return path if path.is_file() else None


def google(audience: str) -> Source:
    """Google's word for this audience: for the proxy in front (IAP), whatever tells the server who one is."""
    named = os.environ.get("TRACKGATE_CREDENTIAL")
    path = adc_file()
    if named != "metadata" and path is not None:
        return Adc(path, audience, for_iap=True)
    return Metadata(audience, for_iap=True)
