"""Print every route of the MLflow that is installed here, one `METHOD path` a line, in MLflow's own notation.

Asked of the application objects that `mlflow server` would run (FastAPI in front, Flask behind it), not of documentation.
No server is started.
"""

import contextlib
import logging
import os
import sys
import tempfile
import warnings


def of_flask(app):
    for rule in app.url_map.iter_rules():
        # HEAD and OPTIONS are Flask's own additions to every GET route.
        yield from ((method, rule.rule) for method in rule.methods - {"HEAD", "OPTIONS"})


def of_fastapi(routes, before=""):
    from starlette.routing import Mount

    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from of_fastapi(inner.routes, before + route.include_context.prefix)
        elif not isinstance(route, Mount):
            yield from ((method, before + route.path) for method in getattr(route, "methods", None) or {"WEBSOCKET"})


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        # What `mlflow server` tells its worker processes.
        os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{folder}/mlflow.db"
        os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
        os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = os.path.join(folder, "artifacts")
        os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
        os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "only to list routes"
        with contextlib.redirect_stdout(sys.stderr):
            from mlflow.server import app as flask
            from mlflow.server.fastapi_app import app as fastapi

            found = set(of_flask(flask)) | set(of_fastapi(fastapi.routes))
    for method, path in sorted(found, key=lambda route: (route[1], route[0])):
        print(method, path)


if __name__ == "__main__":
    main()
