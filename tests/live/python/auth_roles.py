"""Every method of MLflow's `AuthServiceClient` with roles (3.13 and later), unpatched, by an administrator and by others."""

import os
import time

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
role_name = fresh("readers")

# Everybody who signs in is known from then on.
for who in ("owner", "reader", "guest"):
    with acting(who):
        client.search_experiments()

with acting("owner"):
    experiment = client.create_experiment(fresh("auth"))
    other = client.create_experiment(fresh("auth other"))
    model = fresh("auth model")
    client.create_registered_model(model)
with acting("reader"), refused():
    client.get_experiment(experiment)

# --- users ---
with acting("admin"):
    made = call("create_user", newcomer, "a password that nobody keeps")
    equal((made.username, made.is_admin), (newcomer, False))
    with refused("RESOURCE_ALREADY_EXISTS"):
        auth.create_user(newcomer, "another password")
    for odd in (newcomer.upper(), f"{newcomer}.", "a b@demo.example", "ä@demo.example", "", "group:x", "a@b@c.example"):
        with refused("INVALID_PARAMETER_VALUE"):
            auth.create_user(odd, "a password that nobody keeps")
    equal(call("get_user", newcomer).id, made.id)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.get_user("nobody@demo.example")
    call("update_user_admin", newcomer, True)
    equal(auth.get_user(newcomer).is_admin, True)
    auth.update_user_admin(newcomer, False)
    equal(auth.get_user(newcomer).is_admin, False)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.update_user_admin("nobody@demo.example", True)
    # The settings made them one.
    with refused("INVALID_PARAMETER_VALUE"):
        auth.update_user_admin(mail("admin"), False)
    with refused("BAD_REQUEST"):
        auth.delete_user(mail("admin"))
with acting("reader"):
    equal(auth.get_user(mail("reader")).username, mail("reader"))
    for forbidden in (
        lambda: auth.get_user(mail("owner")),
        lambda: auth.get_user("nobody@demo.example"),
        lambda: auth.create_user(f"{fresh('x')}@demo.example", "a password that nobody keeps"),
        lambda: auth.update_user_admin(mail("reader"), True),
        lambda: auth.delete_user(newcomer),
        lambda: auth.delete_user(mail("reader")),
    ):
        with refused():
            forbidden()
    try:
        call("update_user_password", mail("reader"), "a new password", "the old one")
    except MlflowException as fault:
        equal(fault.error_code, "INVALID_PARAMETER_VALUE")
        assert "Demo identity provider" in str(fault), fault
    else:
        raise AssertionError("a password was changed")

# --- grants of one person, by whoever manages the thing ---
with acting("owner"):
    call("grant_user_permission", mail("reader"), "experiment", experiment, "READ")
    with refused("RESOURCE_ALREADY_EXISTS"):
        auth.grant_user_permission(mail("reader"), "experiment", experiment, "EDIT")
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.grant_user_permission("nobody@demo.example", "experiment", experiment, "READ")
    for kind, thing, level in (
        ("experiment", experiment, "OWNER"),
        ("experiment", experiment, "NO_PERMISSIONS"),
        ("foo", "1", "READ"),
        ("workspace", "*", "USE"),
        ("run", "0" * 32, "READ"),
        ("experiment", "01", "READ"),
        ("experiment", "-1", "READ"),
        ("experiment", "1.5", "READ"),
    ):
        with refused("INVALID_PARAMETER_VALUE"):
            auth.grant_user_permission(mail("reader"), kind, thing, level)
    # Not what one does not manage, not everything, not to oneself.
    for kind, thing, who in (
        ("experiment", "999999", "reader"),
        ("experiment", "*", "reader"),
        ("run", "*", "reader"),
        ("experiment", experiment, "owner"),
    ):
        with refused():
            auth.grant_user_permission(mail(who), kind, thing, "READ")
    auth.grant_user_permission(mail("reader"), "registered_model", model, "EDIT")
with acting("reader"):
    equal(client.get_experiment(experiment).experiment_id, experiment)
    held = call("get_user_permission", mail("reader"), "experiment", experiment)
    equal((held.allowed, held.permission), (False, "READ"))
    held = auth.get_user_permission(mail("reader"), "registered_model", model)
    equal((held.allowed, held.permission), (True, "EDIT"))
    for unseen in (other, "999999"):
        held = auth.get_user_permission(mail("reader"), "experiment", unseen)
        equal((held.allowed, held.permission), (False, "NO_PERMISSIONS"))
    for forbidden in (
        lambda: auth.grant_user_permission(mail("guest"), "experiment", experiment, "READ"),
        lambda: auth.revoke_user_permission(mail("owner"), "experiment", experiment),
        lambda: auth.get_user_permission(mail("owner"), "experiment", experiment),
        lambda: auth.get_user_permission("nobody@demo.example", "experiment", experiment),
    ):
        with refused():
            forbidden()
with acting("owner"):
    call("revoke_user_permission", mail("reader"), "experiment", experiment)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.revoke_user_permission(mail("reader"), "experiment", experiment)
with acting("reader"), refused():
    client.get_experiment(experiment)

# --- roles ---
with acting("admin"):
    role = call("create_role", "default", role_name, "for tests")
    equal((role.name, role.workspace, role.description), (role_name, "default", "for tests"))
    with refused("RESOURCE_ALREADY_EXISTS"):
        auth.create_role("default", role_name)
    for odd in ("", "  ", "__user_1__", "__x", "a\u0000b", "zero\u200bwidth", "turn\u202eed"):
        with refused("INVALID_PARAMETER_VALUE"):
            auth.create_role("default", odd)
    plain = auth.create_role("default", f"Größe 模型 {role_name}")
    equal(call("get_role", plain.id).name, f"Größe 模型 {role_name}")
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.create_role("no-such-workspace", fresh("nowhere"))
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.get_role(999_999)
    for odd in ("x", "1.5", "-1", "0", "01", " 1"):
        equal(rest("admin", "GET", "/api/3.0/mlflow/roles/get", params={"role_id": odd}).status_code, 400)
    for odd in (1.5, -1, True, None, [1], 2**64):
        equal(rest("admin", "DELETE", "/api/3.0/mlflow/roles/delete", json={"role_id": odd}).status_code, 400)

    permission = call("add_role_permission", role.id, "experiment", experiment, "READ")
    equal((permission.role_id, permission.resource_pattern, permission.permission), (role.id, experiment, "READ"))
    with refused("RESOURCE_ALREADY_EXISTS"):
        auth.add_role_permission(role.id, "experiment", experiment, "EDIT")
    equal([found.id for found in call("list_role_permissions", role.id)], [permission.id])
    assignment = call("assign_role", mail("reader"), role.id)
    equal((assignment.role_id, assignment.user_id), (role.id, auth.get_user(mail("reader")).id))
    with refused("RESOURCE_ALREADY_EXISTS"):
        auth.assign_role(mail("reader"), role.id)
    equal([found.user_id for found in call("list_role_users", role.id)], [assignment.user_id])
    assert role.id in [found.id for found in call("list_user_roles", mail("reader"))]
    assert role.id in [found.id for found in call("list_roles", "default")]
    assert role.id in [found.id for found in call("list_all_roles")]
with acting("reader"):
    equal(client.get_experiment(experiment).experiment_id, experiment)
    # Their own role they see, others look like none.
    equal(auth.get_role(role.id).name, role_name)
    seen = [found.id for found in auth.list_roles("default")]
    assert role.id in seen and plain.id not in seen, seen
    equal([found.permission for found in auth.list_role_permissions(role.id)], ["READ"])
    for forbidden in (
        lambda: auth.get_role(plain.id),
        lambda: auth.get_role(999_999),
        lambda: auth.list_all_roles(),
        lambda: auth.list_role_users(role.id),
        lambda: auth.list_user_roles(mail("owner")),
        lambda: auth.create_role("default", fresh("mine")),
        lambda: auth.update_role(role.id, name=fresh("mine")),
        lambda: auth.add_role_permission(role.id, "experiment", "*", "MANAGE"),
        lambda: auth.update_role_permission(permission.id, "MANAGE"),
        lambda: auth.remove_role_permission(permission.id),
        lambda: auth.assign_role(mail("reader"), plain.id),
        lambda: auth.unassign_role(mail("reader"), role.id),
        lambda: auth.delete_role(role.id),
    ):
        with refused():
            forbidden()
    with refused():
        client.set_experiment_tag(experiment, "k", "v")
with acting("admin"):
    equal(call("update_role_permission", permission.id, "EDIT").permission, "EDIT")
with acting("reader"):
    client.set_experiment_tag(experiment, "k", "v")
with acting("admin"):
    renamed = call("update_role", role.id, name=f"{role_name} too", description="renamed")
    equal((renamed.name, renamed.description), (f"{role_name} too", "renamed"))
    with refused("INVALID_PARAMETER_VALUE"):
        auth.update_role(role.id)
    call("remove_role_permission", permission.id)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.remove_role_permission(permission.id)
with acting("reader"), refused():
    client.get_experiment(experiment)
with acting("admin"):
    call("unassign_role", mail("reader"), role.id)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.unassign_role(mail("reader"), role.id)
    call("delete_role", role.id)
    auth.delete_role(plain.id)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.delete_role(role.id)

# --- what MLflow does not have: groups, and ends ---
with acting("owner"):
    # The identity provider says that the reader is in it.
    auth.grant_user_permission("group:reviewers", "experiment", experiment, "READ")
with acting("reader"):
    equal(client.get_experiment(experiment).experiment_id, experiment)
with acting("owner"):
    auth.revoke_user_permission("group:reviewers", "experiment", experiment)
    end = int(time.time() * 1000) + 2000
    given = {"username": mail("reader"), "resource_type": "experiment", "resource_id": experiment, "permission": "READ"}
    answer = rest("owner", "POST", "/api/3.0/mlflow/users/permissions/grant", json={**given, "expires_at": end})
    equal(answer.status_code, 200)
    answer = rest("owner", "POST", "/api/3.0/mlflow/users/permissions/grant", json={**given, "expires_at": 1})
    equal((answer.status_code, answer.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))
with acting("reader"):
    listed = rest("reader", "GET", "/ajax-api/3.0/mlflow/users/current/permissions").json()["permissions"]
    if time.time() * 1000 < end - 500:
        assert [row["expires_at"] for row in listed if row["resource_pattern"] == experiment] == [end], listed
    while True:
        before = time.time() * 1000
        try:
            client.get_experiment(experiment)
            assert before < end, "it was allowed after its end"
        except MlflowException:
            assert time.time() * 1000 >= end, "it was refused before its end"
            break
        time.sleep(0.02)

with acting("admin"):
    call("delete_user", newcomer)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.delete_user(newcomer)

every = {name for name in dir(AuthServiceClient) if not name.startswith("_")}
equal(every - used, set())
print(f"{len(every)} methods of AuthServiceClient")
