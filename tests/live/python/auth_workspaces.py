"""MLflow's permission client where workspaces are on: who manages one manages the roles of that one, and hears of no other."""

import os

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from actors import acting, denied, equal, fresh, mail, refused, rest, same

auth = AuthServiceClient(os.environ["MLFLOW_TRACKING_URI"])
client = MlflowClient()
A, B = "perm-a", "perm-b"


def current(who):
    return rest(who, "GET", "/ajax-api/3.0/mlflow/users/current/permissions").json()["permissions"]


# --- an administrator makes two workspaces, and one manager for each: by a role, and as clients before 3.13 did ---

for who in ("owner", "trainer", "reader", "guest"):
    equal(rest(who, "GET", "/api/2.0/mlflow/users/current").status_code, 200)
with acting("admin"):
    for name in (A, B):
        mlflow.create_workspace(name)
    managers = auth.create_role(A, "managers")
    equal((managers.workspace, managers.name), (A, "managers"))
    auth.add_role_permission(managers.id, "workspace", "*", "MANAGE")
    auth.assign_role(mail("owner"), managers.id)
    for level in ("READ", "EDIT"):
        with refused("INVALID_PARAMETER_VALUE"):
            auth.add_role_permission(managers.id, "workspace", "*", level)
    with refused("INVALID_PARAMETER_VALUE"):
        auth.add_role_permission(managers.id, "workspace", B, "MANAGE")
    body = {"username": mail("trainer"), "permission": "MANAGE"}
    made = rest("admin", "POST", f"/api/3.0/mlflow/workspaces/{B}/permissions", json=body)
    equal(made.json()["permission"]["workspace"], B)
    equal(
        rest("admin", "GET", f"/api/3.0/mlflow/workspaces/{B}/permissions").json()["permissions"],
        [made.json()["permission"]],
    )
    # What cannot be the name of a workspace is none.
    for odd in ("Perm A", "../perm-a", "x" * 64):
        with refused("RESOURCE_DOES_NOT_EXIST"):
            auth.create_role(odd, "nowhere")

# --- each manages their own: roles, permissions, assignments, people ---

made, roles, rules = {}, {}, {}
for workspace, who, other in ((A, "owner", B), (B, "trainer", A)):
    with acting(who):
        mlflow.set_workspace(workspace)
        experiment = made[workspace] = client.create_experiment(f"of {workspace}")
        # The same name in both is two roles.
        role = auth.create_role(workspace, "readers", f"of {workspace}")
        roles[workspace] = role.id
        rules[workspace] = auth.add_role_permission(role.id, "experiment", experiment, "READ").id
        equal(auth.update_role(role.id, description="changed").description, "changed")
        with refused("RESOURCE_ALREADY_EXISTS"):
            auth.create_role(workspace, "readers")
        auth.assign_role(mail("reader"), role.id)
        equal([found.role_id for found in auth.list_role_users(role.id)], [role.id])
        equal([found.permission for found in auth.list_role_permissions(role.id)], ["READ"])
        names = {found.name for found in auth.list_roles(workspace) if not found.name.startswith("__")}
        equal(names, {"managers", "readers"} if workspace == A else {"readers"})
        newcomer = f"{fresh('new')}@demo.example"
        equal(auth.create_user(newcomer, "a password that nobody keeps").username, newcomer)
        # One thing, everything of a type, and what lies in things.
        auth.grant_user_permission(newcomer, "experiment", experiment, "EDIT")
        auth.grant_user_permission(newcomer, "experiment", "*", "READ")
        auth.grant_user_permission(newcomer, "run", "*", "USE")
        held = auth.get_user_permission(newcomer, "experiment", experiment)
        equal((held.allowed, held.permission), (True, "EDIT"))
        equal(auth.get_user_permission(newcomer, "experiment", "*").permission, "READ")
        with refused("INVALID_PARAMETER_VALUE"):
            auth.grant_user_permission(newcomer, "workspace", "*", "USE")
        auth.revoke_user_permission(newcomer, "run", "*")
        with refused("RESOURCE_DOES_NOT_EXIST"):
            auth.revoke_user_permission(newcomer, "run", "*")
        # Nobody raises themselves, and only administrators say who is one or who is known no more.
        for forbidden in (
            lambda: auth.assign_role(mail(who), role.id),
            lambda: auth.grant_user_permission(mail(who), "experiment", experiment, "MANAGE"),
            lambda: auth.update_user_admin(mail(who), True),
            lambda: auth.delete_user(newcomer),
            lambda: auth.list_all_roles(),
        ):
            with refused():
                forbidden()
        mlflow.set_workspace(None)

with acting("reader"):
    for workspace in (A, B):
        mlflow.set_workspace(workspace)
        equal(client.get_experiment(made[workspace]).name, f"of {workspace}")
        other = made[B if workspace == A else A]
        with refused():
            client.get_experiment(other)
    mlflow.set_workspace(None)
    # All that is theirs, wherever they ask from, and what each workspace says of it.
    equal({(row["workspace"], row["role_name"]) for row in current("reader")}, {(A, "readers"), (B, "readers")})
    equal({role.workspace for role in auth.list_user_roles(mail("reader"))}, {A, B})
    equal([role.id for role in auth.list_roles(A)], [roles[A]])
    for forbidden in (lambda: auth.get_role(managers.id), lambda: auth.list_role_users(roles[A]), lambda: auth.create_role(A, "mine")):
        with refused():
            forbidden()

# --- nobody sees or changes another's ---

with acting("owner"):
    # Of somebody who has roles in both, the roles of their own workspace alone.
    mlflow.set_workspace(A)
    equal([role.id for role in auth.list_user_roles(mail("reader"))], [roles[A]])
    seen = rest("owner", "GET", "/api/3.0/mlflow/users/permissions/list", params={"username": mail("reader")}, headers={"X-MLFLOW-WORKSPACE": A})
    equal({row["workspace"] for row in seen.json()["permissions"]}, {A})
    users = rest("owner", "GET", "/api/2.0/mlflow/users/list", headers={"X-MLFLOW-WORKSPACE": A}).json()["users"]
    shown = {role["workspace"] for user in users if user["username"] != mail("owner") for role in user["roles"]}
    equal(shown, {A})
    # A grant in A on what lies in B reaches nothing there.
    auth.grant_user_permission(mail("guest"), "experiment", made[B], "MANAGE")
    mlflow.set_workspace(None)
with acting("guest"):
    mlflow.set_workspace(B)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.get_experiment(made[B])
    mlflow.set_workspace(A)
    try:
        client.get_experiment(made[B])
    except MlflowException as fault:
        equal(fault.error_code, "RESOURCE_DOES_NOT_EXIST")
    else:
        raise AssertionError("reached into another workspace")
    mlflow.set_workspace(None)

# What is of B and what is not there are told alike to who manages A, from wherever they ask.
absent = 999_999
for workspace in ("", A):
    headers = {"X-MLFLOW-WORKSPACE": workspace} if workspace else {}
    for method, call, more in (
        ("GET", "roles/get", {}),
        ("GET", "roles/permissions/list", {}),
        ("GET", "roles/users/list", {}),
        ("PATCH", "roles/update", {"name": "taken over"}),
        ("DELETE", "roles/delete", {}),
        ("POST", "roles/permissions/add", {"resource_type": "experiment", "resource_pattern": "*", "permission": "READ"}),
        ("POST", "roles/assign", {"username": mail("guest")}),
        ("DELETE", "roles/unassign", {"username": mail("reader")}),
    ):
        body = {"params" if method == "GET" else "json": {"role_id": "%s", **more}}
        same("owner", method, f"/api/3.0/mlflow/{call}", str(roles[B]), str(absent), headers=headers, **body)
    for method, call, more in (
        ("PATCH", "roles/permissions/update", {"permission": "MANAGE"}),
        ("DELETE", "roles/permissions/remove", {}),
    ):
        body = {"json": {"role_permission_id": "%s", **more}}
        same("owner", method, f"/api/3.0/mlflow/{call}", str(rules[B]), str(absent), headers=headers, **body)
    # Workspaces as well.
    for name, other in ((B, "perm-z"),):
        same("owner", "POST", "/api/3.0/mlflow/roles/create", name, other, headers=headers, json={"workspace": "%s", "name": "mine"})
        same("owner", "GET", "/api/3.0/mlflow/roles/list", name, other, headers=headers, params={"workspace": "%s"})
        same("owner", "GET", "/api/3.0/mlflow/workspaces/%s/permissions", name, other, headers=headers)
        same("owner", "POST", "/api/3.0/mlflow/workspaces/%s/permissions", name, other, headers=headers, json={"username": mail("guest"), "permission": "USE"})
denied(rest("owner", "GET", "/api/3.0/mlflow/roles/list", params={"workspace": [A, B]}))
for call, body in (
    ("users/permissions/grant", {"username": mail("guest"), "resource_type": "experiment", "resource_id": made[B], "permission": "READ"}),
    ("users/permissions/revoke", {"username": mail("reader"), "resource_type": "experiment", "resource_id": made[B]}),
):
    hidden, none = (rest("owner", "POST", f"/api/3.0/mlflow/{call}", json=body, headers={"X-MLFLOW-WORKSPACE": name}) for name in (B, "perm-z"))
    equal((hidden.status_code, hidden.json()["error_code"]), (404, "RESOURCE_DOES_NOT_EXIST"))
    equal(hidden.json()["message"].replace(B, "it"), none.json()["message"].replace("perm-z", "it"))
with acting("trainer"):
    equal([(role.name, role.description) for role in auth.list_roles(B) if not role.name.startswith("__")], [("readers", "changed")])
    equal([found.permission for found in auth.list_role_permissions(roles[B])], ["READ"])
    equal([found.role_id for found in auth.list_role_users(roles[B])], [roles[B]])

# --- a role for a group; what a manager takes is gone at once; the end of a workspace is the end of its roles ---

with acting("owner"):
    auth.unassign_role(mail("reader"), roles[A])
    answer = rest("owner", "POST", "/api/3.0/mlflow/roles/assign", json={"username": "group:reviewers", "role_id": roles[A]})
    equal((answer.status_code, answer.json()["assignment"]["group"]), (200, "reviewers"))
with acting("reader"):
    mlflow.set_workspace(A)
    # The identity provider says that the reader is in it.
    equal(client.get_experiment(made[A]).name, f"of {A}")
with acting("owner"):
    auth.remove_role_permission(rules[A])
with acting("reader"):
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.get_experiment(made[A])
    mlflow.set_workspace(None)
with acting("owner"):
    auth.delete_role(roles[A])
    with refused():
        auth.get_role(roles[A])
with acting("admin"):
    every = auth.list_all_roles()
    assert {role.workspace for role in every} >= {A, B, "default"}, every
    mlflow.delete_workspace(B, mode="CASCADE")
    assert B not in {role.workspace for role in auth.list_all_roles()}
    with refused("RESOURCE_DOES_NOT_EXIST"):
        auth.get_role(roles[B])
    # One of the same name is another one.
    mlflow.create_workspace(B)
    equal(auth.list_roles(B), [])
with acting("trainer"):
    with refused():
        auth.create_role(B, "mine")
equal([row for row in current("reader") if row["workspace"] == B], [])
print("roles of two workspaces")
