"""Artifacts go up and come back byte for byte, whatever they are called; and only to whom they may."""

import os
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from actors import acting, equal, fresh, grant, mail, server_version, until

client = MlflowClient()
FILES = {
    "plain.txt": b"plain",
    "with space.txt": b"space",
    "sub folder/deeper/a b.bin": bytes(range(256)) * 64,
    "empty.dat": b"",
    "large.bin": os.urandom(8 * 1024 * 1024),
    "a+b&c=d,e.txt": b"signs",
    "(brackets) [and] {braces}~.txt": b"more signs",
}


if server_version() >= (3, 14):
    # Before, MLflow put such a name into a header as it is, and its own HTTP server refused to send that.
    FILES["\u00dcbersicht/gr\u00f6\u00dfe.json"] = b"{}"
    FILES["\u6a21\u578b/\u53c2\u6570.txt"] = "\u503c".encode()


def everything_below(run, folder=None):
    for item in client.list_artifacts(run, folder):
        if item.is_dir:
            yield from everything_below(run, item.path)
        else:
            yield item.path


def refused_transfer(act):
    try:
        act()
    except Exception as refusal:
        assert "403" in str(refusal) or "PERMISSION_DENIED" in str(refusal), refusal
    else:
        raise AssertionError("was not refused")


with tempfile.TemporaryDirectory() as folder, acting("owner"):
    for path, contents in FILES.items():
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents)
    experiment = client.create_experiment(fresh("artifacts"))
    run = client.create_run(experiment).info.run_id
    client.log_artifacts(run, folder)
    client.log_artifact(run, str(Path(folder, "with space.txt")), "again here")

with tempfile.TemporaryDirectory() as folder, acting("owner"):
    equal(sorted(everything_below(run)), sorted([*FILES, "again here/with space.txt"]))
    back = Path(client.download_artifacts(run, "", folder))
    for path, contents in FILES.items():
        assert Path(back, path).read_bytes() == contents, f"{path} came back changed"
    one = Path(client.download_artifacts(run, "sub folder/deeper/a b.bin", folder))
    equal(one.read_bytes(), FILES["sub folder/deeper/a b.bin"])

uri = f"mlflow-artifacts:/{experiment}/{run}/artifacts"
with tempfile.TemporaryDirectory() as folder, acting("guest"):
    refused_transfer(lambda: client.list_artifacts(run))
    refused_transfer(lambda: mlflow.artifacts.download_artifacts(f"{uri}/plain.txt", dst_path=folder))
    equal(list(Path(folder).rglob("*.txt")), [])

grant(f"user:{mail('reader')}", "READ", "experiment", experiment)
with tempfile.TemporaryDirectory() as folder, acting("reader"):
    until(lambda: client.list_artifacts(run))
    file = Path(mlflow.artifacts.download_artifacts(f"{uri}/plain.txt", dst_path=folder))
    equal(file.read_bytes(), b"plain")
    file.write_bytes(b"changed")
    refused_transfer(lambda: client.log_artifact(run, str(file)))
    refused_transfer(lambda: client.log_text(run, "x", "new.txt"))
with acting("owner"):
    equal(mlflow.artifacts.load_text(f"{uri}/plain.txt"), "plain")
    equal("new.txt" in list(everything_below(run)), False)
