"""Tokens for MLflow's client, from Trackgate's sources, fresh at each request.

Set `MLFLOW_TRACKING_AUTH=trackgate`, and nothing else in the program. In a notebook: `trackgate_mlflow.login()`.
"""

from ._auth import TrackgateAuth, TrackgateRequestAuthProvider
from ._errors import TrackgateError
from ._login import login, logout, whoami

__all__ = ["TrackgateAuth", "TrackgateError", "TrackgateRequestAuthProvider", "login", "logout", "whoami"]
__version__ = "0.1.0"
