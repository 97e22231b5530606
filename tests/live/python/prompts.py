"""Prompts: a kind of their own, for their owner, a reader of prompts, a reader of models, a stranger. And whose runs are."""

import mlflow
from mlflow import MlflowClient

from actors import acting, denied, equal, fresh, grant, mail, refused, rest, revoke, until

client = MlflowClient()
name = fresh("prompt")
absent = fresh("prompt")
MODELS = "/api/2.0/mlflow/registered-models"


def found():
    return [prompt.name for prompt in mlflow.genai.search_prompts(f"name = '{name}'")]


with acting("owner"):
    first = mlflow.genai.register_prompt(name, "Hello {{who}}", tags={"team": "a"})
    second = mlflow.genai.register_prompt(name, "Good day {{who}}", commit_message="politer")
    equal((first.version, second.version), (1, 2))
    mlflow.genai.set_prompt_alias(name, "best", 2)
    equal(mlflow.genai.load_prompt(f"prompts:/{name}@best").template, "Good day {{who}}")
    equal(mlflow.genai.load_prompt(f"prompts:/{name}/1").template, "Hello {{who}}")
    equal(found(), [name])
    client.set_prompt_tag(name, "stage", "trial")
    equal(client.get_prompt(name).tags["stage"], "trial")
    client.delete_prompt_tag(name, "stage")
    client.set_prompt_version_tag(name, 1, "seen", "yes")
    equal(client.get_prompt_version(name, 1).tags["seen"], "yes")
    equal({version.version for version in client.search_prompt_versions(name)}, {1, 2})
    equal(mlflow.genai.load_prompt(name, version=9, allow_missing=True), None)
    # A name of which one sees nothing is refused, there or not.
    with refused():
        mlflow.genai.load_prompt(absent, version=1, allow_missing=True)
    # What a name is does not change.
    for value in ("false", "true"):
        denied(rest("owner", "POST", f"{MODELS}/set-tag", json={"name": name, "key": "mlflow.prompt.is_prompt", "value": value}))
    denied(rest("owner", "DELETE", f"{MODELS}/delete-tag", json={"name": name, "key": "mlflow.prompt.is_prompt"}))


def hidden(who, code):
    """The prompt is in no list, and looks as one that is not there."""
    with acting(who):
        equal(found(), [])
        told = []
        for one in (name, absent):
            with refused(code):
                mlflow.genai.load_prompt(one, version=1, cache_ttl_seconds=0)
            with refused(code):
                mlflow.genai.load_prompt(f"prompts:/{one}@best", cache_ttl_seconds=0)
            answer = rest(who, "GET", f"{MODELS}/get?name={one}")
            equal(answer.json()["error_code"], code)
            told.append((answer.status_code, answer.json()["message"].split(" (request ")[0].replace(one, "it")))
        equal(told[0], told[1])
        listed = rest(who, "GET", f"{MODELS}/search?max_results=1000").json().get("registered_models", [])
        equal([model for model in listed if model["name"] == name], [])


hidden("guest", "PERMISSION_DENIED")
hidden("reader", "PERMISSION_DENIED")

# By a grant on models of that name one learns that there is no such model; one on another model shows when it is in force.
model = fresh("model")
with acting("owner"):
    client.create_registered_model(model)
for pattern in (name, absent, model):
    grant(f"user:{mail('reader')}", "READ", "registered_model", pattern)
with acting("reader"):
    equal(until(lambda: client.get_registered_model(model)).name, model)
hidden("reader", "RESOURCE_DOES_NOT_EXIST")
for pattern in (name, absent, model):
    revoke(f"user:{mail('reader')}", "registered_model", pattern)

grant(f"user:{mail('reader')}", "READ", "prompt", name)
with acting("reader"):
    equal(until(lambda: mlflow.genai.load_prompt(name, version=1, cache_ttl_seconds=0)).template, "Hello {{who}}")
    equal(mlflow.genai.load_prompt(f"prompts:/{name}@best", cache_ttl_seconds=0).template, "Good day {{who}}")
    equal(found(), [name])
    for write in (
        lambda: mlflow.genai.register_prompt(name, "Mine"),
        lambda: mlflow.genai.set_prompt_alias(name, "best", 1),
        lambda: mlflow.genai.delete_prompt_alias(name, "best"),
        lambda: client.set_prompt_tag(name, "k", "v"),
        lambda: client.set_prompt_version_tag(name, 1, "k", "v"),
        lambda: client.delete_prompt_version(name, "1"),
        lambda: client.delete_prompt(name),
    ):
        with refused():
            write()
revoke(f"user:{mail('reader')}", "prompt", name)

# A run is of whoever called, whatever name the client found in its operating system; and stays so.
with acting("owner"):
    experiment = mlflow.set_experiment(fresh("authors")).experiment_id
    with mlflow.start_run() as run:
        pass
    made = [run.info.run_id, client.create_run(experiment).info.run_id]
    made.append(client.create_run(experiment, tags={"mlflow.user": mail("reader")}).info.run_id)
    for run in made:
        run = client.get_run(run)
        equal((run.info.user_id, run.data.tags["mlflow.user"]), (mail("owner"), mail("owner")))
    with refused():
        client.set_tag(made[0], "mlflow.user", mail("reader"))
    with refused():
        client.delete_tag(made[0], "mlflow.user")
    with refused():
        client.log_batch(made[0], tags=[mlflow.entities.RunTag("mlflow.user", mail("reader"))])
    client.set_tag(made[0], "mlflow.user", mail("owner"))

grant(f"user:{mail('reader')}", "EDIT", "experiment", experiment)
with acting("reader"):
    until(lambda: client.set_tag(made[0], "k", "v"))
    for author in ("owner", "reader"):
        with refused():
            client.set_tag(made[0], "mlflow.user", mail(author))
    equal(client.create_run(experiment).info.user_id, mail("reader"))
revoke(f"user:{mail('reader')}", "experiment", experiment)

with acting("owner"):
    mlflow.genai.delete_prompt_alias(name, "best")
    client.delete_prompt_version(name, "1")
    client.delete_prompt_version(name, "2")
    client.delete_prompt(name)
    client.delete_registered_model(model)
    denied(rest("owner", "GET", f"{MODELS}/get?name={name}"))
