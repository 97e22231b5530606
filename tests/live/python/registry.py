"""Registered models: versions, aliases, tags; a rename takes the grants along, a deletion ends them."""

from mlflow import MlflowClient

from actors import acting, equal, fresh, grant, mail, refused, until

client = MlflowClient()
name, renamed = fresh("model"), fresh("renamed model")

with acting("owner"):
    experiment = client.create_experiment(fresh("registry"))
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "weights", "model/weights.txt")
    client.create_registered_model(name, tags={"team": "a"}, description="first words")
    source = f"{client.get_run(run).info.artifact_uri}/model"
    first = client.create_model_version(name, source, run)
    second = client.create_model_version(name, f"runs:/{run}/model", run, description="second")
    equal((first.version, second.version), ("1", "2"))
    client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_tag(name, "reviewed", "yes")
    client.set_model_version_tag(name, "1", "quality", "good")
    client.update_registered_model(name, "other words")
    client.update_model_version(name, "1", "first")

with acting("reader"):
    for look in (
        lambda: client.get_registered_model(name),
        lambda: client.get_model_version(name, "1"),
        lambda: client.get_model_version_by_alias(name, "champion"),
        lambda: client.get_model_version_download_uri(name, "1"),
    ):
        with refused():
            look()

grant(f"user:{mail('reader')}", "READ", "registered_model", name)
with acting("reader"):
    model = until(lambda: client.get_registered_model(name))
    equal((model.description, model.tags, model.aliases), ("other words", {"team": "a", "reviewed": "yes"}, {"champion": "2"}))
    equal(client.get_model_version_by_alias(name, "champion").version, "2")
    equal(client.get_model_version(name, "1").tags, {"quality": "good"})
    for write in (
        lambda: client.create_model_version(name, f"runs:/{run}/model", run),
        lambda: client.set_registered_model_alias(name, "mine", "1"),
        lambda: client.delete_registered_model_alias(name, "champion"),
        lambda: client.set_registered_model_tag(name, "k", "v"),
        lambda: client.set_model_version_tag(name, "1", "k", "v"),
        lambda: client.update_registered_model(name, "mine"),
        lambda: client.rename_registered_model(name, fresh("stolen")),
        lambda: client.delete_model_version(name, "1"),
        lambda: client.delete_registered_model(name),
    ):
        with refused():
            write()

# A version may only be made from what its maker may read.
with acting("trainer"):
    own = fresh("thief")
    client.create_registered_model(own)
    with refused():
        client.create_model_version(own, source, run)
    with refused():
        client.create_model_version(own, f"runs:/{run}/model", run)

with acting("owner"):
    client.delete_model_version_tag(name, "1", "quality")
    client.delete_registered_model_alias(name, "champion")
    client.rename_registered_model(name, renamed)
    equal(client.get_registered_model(renamed).name, renamed)
with acting("reader"):
    # The reader's READ and the owner's MANAGE went along.
    equal(client.get_registered_model(renamed).name, renamed)
    with refused():
        client.get_registered_model(name)
# Nothing is left on the old name for whoever takes it next.
with acting("trainer"):
    client.create_registered_model(name)
with acting("owner"), refused():
    client.get_registered_model(name)

with acting("owner"):
    client.delete_model_version(renamed, "1")
    client.delete_registered_model(renamed)
with acting("trainer"):
    client.create_registered_model(renamed)
for former in ("owner", "reader"):
    with acting(former), refused():
        client.get_registered_model(renamed)
