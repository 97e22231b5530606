"""Train a small classifier on the iris data, the way an MLflow tutorial does.

Nothing here knows of Trackgate. MLflow's own client reads from the environment where the server is, the token to show
and the certificate authority to trust:

    MLFLOW_TRACKING_URI  MLFLOW_TRACKING_TOKEN  MLFLOW_TRACKING_SERVER_CERT_PATH
"""

import argparse
import time

import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def train(experiment, model_name, strength):
    mlflow.set_experiment(experiment)
    features, species = load_iris(return_X_y=True)
    seen, unseen, seen_species, unseen_species = train_test_split(features, species, test_size=0.3, random_state=7)
    with mlflow.start_run(run_name=f"logistic regression, C={strength}") as run:
        mlflow.log_params({"C": strength, "solver": "lbfgs"})
        classifier = LogisticRegression(C=strength, max_iter=500).fit(seen, seen_species)
        mlflow.log_metric("accuracy", classifier.score(unseen, unseen_species))
        mlflow.log_dict({"rows": len(features), "species": 3}, "data/summary.json")
        mlflow.sklearn.log_model(
            classifier,
            name="classifier",
            registered_model_name=model_name,
            signature=infer_signature(seen, classifier.predict(seen)),
        )
    return run.info.run_id, unseen


def look_back(run_id, model_name, unseen):
    """Read everything back through the server, as another program would."""
    run = mlflow.get_run(run_id)
    summary = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/data/summary.json")
    newest = max(int(found.version) for found in mlflow.search_model_versions(filter_string=f"name='{model_name}'"))
    predictions = mlflow.pyfunc.load_model(f"models:/{model_name}/{newest}").predict(unseen[:3])
    return run, summary, newest, predictions


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--experiment", default="iris")
    options.add_argument("--model", default="iris-classifier")
    options.add_argument("-C", type=float, default=0.5, help="inverse strength of the regularisation")
    chosen = options.parse_args()

    begun = time.monotonic()
    run_id, unseen = train(chosen.experiment, chosen.model, chosen.C)
    run, summary, version, predictions = look_back(run_id, chosen.model, unseen)
    if not run.info.artifact_uri.startswith("mlflow-artifacts:/"):
        raise SystemExit(f"artifacts do not go through the server: {run.info.artifact_uri}")
    print(
        f"run {run_id} in experiment {chosen.experiment}: accuracy {run.data.metrics['accuracy']:.3f} on "
        f"{summary['rows']} rows; {chosen.model} version {version} predicts {list(map(int, predictions))} "
        f"({time.monotonic() - begun:.1f} s)"
    )


if __name__ == "__main__":
    main()
