"""Every method of MLflow's `AuthServiceClient` before roles (up to 3.12), unpatched."""

import os

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from actors import acting, equal, fresh, mail, refused, rest

auth = AuthServiceClient(os.environ["MLFLOW_TRACKING_URI"])
client = MlflowClient()
used = set()


def call(name, /, *words, **named):
    """One of its methods, noted."""
    used.add(name)
    return getattr(auth, name)(*words, **named)


newcomer = f"{fresh('new')}@demo.example"
for who in ("owner", "reader"):
    with acting(who):
        client.search_experiments()

with acting("owner"):
    experiment = client.create_experiment(fresh("auth"))
    model = fresh("auth model")
    client.create_registered_model(model)
    hex32 = "0123456789abcdef0123456789abcdef"

# --- users ---
with acting("admin"):
    made = call("create_user", newcomer, "a password that nobody keeps")
    equal((made.username, made.is_admin, made.experiment_permissions), (newcomer, False, []))
    call("update_user_admin", newcomer, True)
    equal(call("get_user", newcomer).is_admin, True)
    auth.update_user_admin(newcomer, False)
    try:
        call("update_user_password", newcomer, "a new password")
    except MlflowException as fault:
        equal(fault.error_code, "INVALID_PARAMETER_VALUE")
        assert "Demo identity provider" in str(fault), fault
    else:
        raise AssertionError("a password was changed")


def family(stem, names, words, who, shown):
    """Create, get, update and delete what the reader holds on one thing."""
    with acting(who):
        made = call(f"create_{stem}_permission", *words, mail("reader"), "READ")
        equal(made.permission, "READ")
        for name, word in shown.items():
            equal(getattr(made, name), word)
        with refused("RESOURCE_ALREADY_EXISTS"):
            getattr(auth, f"create_{stem}_permission")(*words, mail("reader"), "EDIT")
        with refused("INVALID_PARAMETER_VALUE"):
            getattr(auth, f"create_{stem}_permission")(*words, mail("reader"), "OWNER")
        with refused("RESOURCE_DOES_NOT_EXIST"):
            getattr(auth, f"create_{stem}_permission")(*words, "nobody@demo.example", "READ")
        call(f"update_{stem}_permission", *words, mail("reader"), "EDIT")
        got = call(f"get_{stem}_permission", *words, mail("reader"))
        equal((got.permission, got.user_id), ("EDIT", made.user_id))
    with acting("reader"):
        for forbidden in (
            lambda: getattr(auth, f"update_{stem}_permission")(*words, mail("reader"), "MANAGE"),
            lambda: getattr(auth, f"delete_{stem}_permission")(*words, mail("owner")),
            lambda: getattr(auth, f"create_{stem}_permission")(*words, mail("guest"), "READ"),
            lambda: getattr(auth, f"get_{stem}_permission")(*words, mail("owner")),
        ):
            with refused():
                forbidden()
    with acting(who):
        if stem == "experiment":
            with acting("admin"):
                held = auth.get_user(mail("reader")).experiment_permissions
                assert (experiment, "EDIT") in [(row.experiment_id, row.permission) for row in held], held
        call(f"delete_{stem}_permission", *words, mail("reader"))
        for gone in ("get", "delete"):
            with refused("RESOURCE_DOES_NOT_EXIST"):
                getattr(auth, f"{gone}_{stem}_permission")(*words, mail("reader"))
        with refused("RESOURCE_DOES_NOT_EXIST"):
            getattr(auth, f"update_{stem}_permission")(*words, mail("reader"), "READ")


family("experiment", ["experiment_id"], [experiment], "owner", {"experiment_id": experiment})
family("registered_model", ["name"], [model], "owner", {"name": model})
scorer = "is it safe? ä/b"
family(
    "scorer",
    ["experiment_id", "scorer_name"],
    [experiment, scorer],
    "admin",
    {"experiment_id": experiment, "scorer_name": scorer},
)
family("gateway_secret", ["secret_id"], [f"s-{hex32}"], "admin", {"secret_id": f"s-{hex32}"})
family("gateway_endpoint", ["endpoint_id"], [f"e-{hex32}"], "admin", {"endpoint_id": f"e-{hex32}"})
family(
    "gateway_model_definition",
    ["model_definition_id"],
    [f"d-{hex32}"],
    "admin",
    {"model_definition_id": f"d-{hex32}"},
)

# --- the one workspace: of somebody who never signs in, as the other tests run beside this one ---
with acting("admin"):
    given = call("set_workspace_permission", "default", newcomer, "USE")
    equal((given.workspace, given.permission), ("default", "USE"))
    equal(auth.set_workspace_permission("default", newcomer, "MANAGE").permission, "MANAGE")
    listed = call("list_workspace_permissions", "default")
    assert (given.user_id, "MANAGE") in [(row.user_id, row.permission) for row in listed], listed
    held = call("list_user_workspace_permissions", newcomer)
    equal([(row.workspace, row.permission) for row in held], [("default", "MANAGE")])
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.set_workspace_permission("elsewhere", newcomer, "USE")
    for odd in ("READ", "EDIT", "DENY", "NO_PERMISSIONS"):
        with refused("INVALID_PARAMETER_VALUE"):
            auth.set_workspace_permission("default", newcomer, odd)
    call("delete_workspace_permission", "default", newcomer)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.delete_workspace_permission("default", newcomer)
with acting("reader"):
    for forbidden in (
        lambda: auth.list_workspace_permissions("default"),
        lambda: auth.set_workspace_permission("default", mail("reader"), "MANAGE"),
        lambda: auth.delete_workspace_permission("default", mail("owner")),
        lambda: auth.list_user_workspace_permissions(mail("owner")),
    ):
        with refused():
            forbidden()
    equal(auth.list_user_workspace_permissions(mail("reader")), [])

with acting("admin"):
    call("delete_user", newcomer)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.get_user(newcomer)

every = {name for name in dir(AuthServiceClient) if not name.startswith("_")}
equal(every - used, set())
print(f"{len(every)} methods of AuthServiceClient")
