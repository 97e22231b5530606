"""Print the routes of the MLflow that this Python has, as CSV: `method,path,handler,app`.

    /path/to/venv/bin/python src/cli/list_routes.py > routes.csv
    trackgate doctor --routes routes.csv        # or: trackgate doctor --python /path/to/venv/bin/python

They are read from the application objects that `mlflow server` would run (FastAPI in front where the version has it,
Flask behind), not from documentation. No server is started, nothing is kept. `app` is flask, fastapi (answered before
Flask sees it), or basic-auth (routes that only `--app-name basic-auth` has; they need the extra `mlflow[auth]` and are
missing without it). HEAD and OPTIONS are left out: Flask answers both by itself on every GET route.

Works with MLflow 2.22 and later, and stands alone: `trackgate` carries it and hands it to the Python it is told of.
"""

import contextlib
import csv
import importlib
import importlib.util
import logging
import os
import sys
import tempfile
import warnings

# What `mlflow server` hands down to its workers, and what would make this one look like another's.
FOREIGN = ("_MLFLOW_STATIC_PREFIX", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_ENABLE_WORKSPACES")


def prepare(folder):
    """Set the environment that `mlflow server` would give its worker processes."""
    for name in FOREIGN:
        os.environ.pop(name, None)
    store = f"sqlite:///{folder}/mlflow.db"
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = store
    os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = store
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = f"{folder}/artifacts"
    os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
    os.environ["MLFLOW_TELEMETRY_DISABLED"] = "1"
    os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "only to list routes"
    os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"] = "only-to-list-routes"
    config = os.path.join(folder, "auth.ini")
    with open(config, "w") as out:
        out.write(
            "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = admin\n"
            "admin_password = only-to-list-routes\n"
            f"database_uri = sqlite:///{folder}/auth.db\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = config


def name_of(function):
    function = getattr(function, "__wrapped__", function)
    return f"{function.__module__}.{function.__qualname__}"


def flask_routes(app):
    for rule in app.url_map.iter_rules():
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield method, rule.rule, name_of(app.view_functions[rule.endpoint])


def fastapi_leaves(routes, prefix=""):
    """Every route of a FastAPI application with its whole path."""
    from starlette.routing import Mount

    for route in routes:
        if isinstance(route, Mount):
            continue  # the catch-all mount of the Flask application
        included = getattr(route, "original_router", None)  # lazily included router
        if included is not None:
            yield from fastapi_leaves(included.routes, prefix + route.include_context.prefix)
        else:
            yield prefix + route.path, route


def methods_of(route):
    return (getattr(route, "methods", None) or {"WEBSOCKET"}) - {"HEAD", "OPTIONS"}


def fastapi_routes(routes):
    for path, route in fastapi_leaves(routes):
        for method in methods_of(route):
            yield method, path, name_of(route.endpoint)


def native_app():
    """The FastAPI application in front of Flask; versions before 3.4 have none."""
    if importlib.util.find_spec("mlflow.server.fastapi_app") is None:
        return None
    return importlib.import_module("mlflow.server.fastapi_app").app


def routes(need_auth=False):
    """Every route as (method, path, handler, app), sorted."""
    flask_app = importlib.import_module("mlflow.server").app
    fastapi_app = native_app()
    plain = set(flask_routes(flask_app))
    native = set(fastapi_routes(fastapi_app.routes)) if fastapi_app else set()
    protected = set()
    try:
        auth = importlib.import_module("mlflow.server.auth")
        app = auth.create_app(flask_app)  # adds its rules to the same Flask application
        if fastapi_app and hasattr(app, "routes"):
            native |= set(fastapi_routes(app.routes))
        protected = set(flask_routes(flask_app)) - plain
    except ImportError as error:
        if need_auth:
            raise
        print(f"the routes of basic-auth are missing: {error}", file=sys.stderr)
    rows = {(*route, "flask") for route in plain} | {(*route, "fastapi") for route in native}
    rows |= {(*route, "basic-auth") for route in protected}
    return sorted(rows, key=lambda row: (row[1], row[0], row[3], row[2]))


@contextlib.contextmanager
def quiet():
    """A place where MLflow may write and talk without harm; standard output stays ours."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.redirect_stdout(sys.stderr):
        prepare(folder)
        yield folder


def write(rows, out):
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "path", "handler", "app"])
    writer.writerows(rows)


if __name__ == "__main__":
    with quiet():
        found = routes()
        version = importlib.import_module("mlflow").__version__
    write(found, sys.stdout)
    print(f"MLflow {version}", file=sys.stderr)
