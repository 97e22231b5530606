"""The registry of MCP servers: who makes, sees, changes and deletes servers, versions, aliases, tags and endpoints."""

import threading

from mlflow import MlflowClient
from mlflow.entities.mcp_server import MCPStatus

from actors import acting, equal, fresh, grant, mail, operator, refusal, refused, rest, revoke, same, until

client = MlflowClient()
API = "/api/3.0/mlflow/mcp-servers"
space = fresh("io.live")
name, other, absent = f"{space}/weather", f"{space}/news", f"{space}/nothing"


def version(name, number):
    return {"name": name, "version": number, "description": f"{name} {number}"}


def names():
    """What the list of servers holds of ours, read in pages of two."""
    found, token = [], None
    while True:
        page = client.search_mcp_servers(max_results=2, page_token=token)
        found += [server.name for server in page if server.name.startswith(space)]
        token = page.token
        if not token:
            return sorted(found)


def versions(name):
    return sorted(one.version for one in client.search_mcp_server_versions(name))


# --- the owner makes servers, versions, an alias, tags, an endpoint ---

with acting("guest"):
    with refused():
        client.create_mcp_server(name)
    with refused():
        client.create_mcp_server_version(version(name, "1.0.0"), tools=[])
with acting("owner"):
    made = client.create_mcp_server(name, description="of owner")
    equal((made.name, made.description), (name, "of owner"))
    for number in ("1.0.0", "1.1.0"):
        equal(client.create_mcp_server_version(version(name, number), status=MCPStatus.ACTIVE, tools=[]).version, number)
    client.set_mcp_server_alias(name, "stable", "1.0.0")
    client.set_mcp_server_tag(name, "team", "weather")
    client.set_mcp_server_version_tag(name, "1.0.0", "checked/by", "yes")
    equal(client.get_mcp_server_version_by_alias(name, "stable").version, "1.0.0")
    equal(client.get_mcp_server_version(name, "1.0.0").tags, {"checked/by": "yes"})
    equal(client.get_latest_mcp_server_version(name).version, "1.1.0")
    equal(client.get_mcp_server(name).tags, {"team": "weather"})
    equal(client.update_mcp_server(name, description="of owner still").description, "of owner still")
    endpoint = client.create_mcp_access_endpoint(name, "https://mcp.example/weather", server_version="1.0.0")
    equal(client.get_mcp_access_endpoint(name, endpoint.id).url, "https://mcp.example/weather")
    equal([one.id for one in client.search_mcp_access_endpoints(name)], [endpoint.id])
    equal(names(), [name])
    equal(versions(name), ["1.0.0", "1.1.0"])

# --- a stranger learns nothing, and changes nothing ---

CALLS = [
    ("GET", "", None),
    ("GET", "/versions", None),
    ("GET", "/versions/1.0.0", None),
    ("GET", "/aliases/stable", None),
    ("GET", "/endpoints", None),
    ("GET", f"/endpoints/{endpoint.id}", None),
    ("PATCH", "", {"description": "theirs"}),
    ("POST", "/versions", {"server_json": version("%s", "6.6.6")}),
    ("PATCH", "/versions/1.0.0", {"status": "deprecated"}),
    ("POST", "/tags", {"key": "team", "value": "theirs"}),
    ("POST", "/aliases", {"alias": "stable", "version": "1.1.0"}),
    ("POST", "/versions/1.0.0/tags", {"key": "checked", "value": "no"}),
    ("POST", "/endpoints", {"url": "https://mcp.example/x", "transport_type": "streamable-http", "server_version": "1.0.0"}),
    ("PATCH", f"/endpoints/{endpoint.id}", {"url": "https://mcp.example/x"}),
    ("DELETE", "", None),
    ("DELETE", "/versions/1.0.0", None),
    ("DELETE", "/aliases/stable", None),
    ("DELETE", "/tags/team", None),
    ("DELETE", "/versions/1.0.0/tags/checked%%2Fby".replace("%%", "%"), None),
    ("DELETE", f"/endpoints/{endpoint.id}", None),
]


def nothing_is_seen(who):
    """Of a server whose name is taken and hidden one learns as much as of a name that is free."""
    with acting(who):
        equal(names(), [])
        equal([one for one in client.search_mcp_access_endpoints() if one.server_name == name], [])
    for method, path, said in CALLS:
        more = {} if said is None else {"json": said}
        same(who, method, f"{API}/%s{path}", name, absent, **more)
        same(who, method, f"{API}/%s{path}", name.replace("/", "%2F"), absent.replace("/", "%2F"), **more)


nothing_is_seen("guest")

# --- a reader reads ---

grant(f"user:{mail('reader')}", "READ", "mcp_server", name)


def changes():
    """What nobody does without EDIT; with it the second part is not done."""
    return [
        lambda: client.update_mcp_server(name, description="theirs"),
        lambda: client.create_mcp_server_version(version(name, "6.6.6"), tools=[]),
        lambda: client.update_mcp_server_version(name, "1.0.0", status=MCPStatus.DEPRECATED),
        lambda: client.set_mcp_server_tag(name, "team", "theirs"),
        lambda: client.set_mcp_server_version_tag(name, "1.0.0", "k", "v"),
        lambda: client.set_mcp_server_alias(name, "stable", "1.1.0"),
        lambda: client.create_mcp_access_endpoint(name, "https://mcp.example/x", server_version="1.0.0"),
        lambda: client.update_mcp_access_endpoint(name, endpoint.id, url="https://mcp.example/x"),
    ], [
        lambda: client.delete_mcp_server_alias(name, "stable"),
        lambda: client.delete_mcp_server_tag(name, "team"),
        lambda: client.delete_mcp_server_version_tag(name, "1.0.0", "checked/by"),
        lambda: client.delete_mcp_access_endpoint(name, endpoint.id),
        lambda: client.delete_mcp_server_version(name, "1.0.0"),
        lambda: client.delete_mcp_server(name),
    ]


def all_refused(level, holds, acts):
    for act in acts:
        told = refusal(act)
        wanted = f"; you hold {holds}. Ask {mail('owner')} for it."
        if f" needs {level} on mcp server" not in told or name not in told or wanted not in told:
            raise AssertionError(told)


edits, ends = changes()
with acting("reader"):
    until(lambda: equal(names(), [name]))
    equal(client.get_mcp_server(name).description, "of owner still")
    equal(versions(name), ["1.0.0", "1.1.0"])
    equal(client.get_mcp_server_version(name, "1.0.0").server_json["description"], f"{name} 1.0.0")
    equal(client.get_mcp_server_version_by_alias(name, "stable").version, "1.0.0")
    equal(client.get_latest_mcp_server_version(name).version, "1.1.0")
    equal([one.id for one in client.search_mcp_access_endpoints(name)], [endpoint.id])
    equal([one.id for one in client.search_mcp_access_endpoints() if one.server_name == name], [endpoint.id])
    all_refused("EDIT", "READ", edits)
    all_refused("MANAGE", "READ", ends)
nothing_is_seen("guest")

# A version that is denied is not in the list, and takes what tells of it along.
grant(f"user:{mail('reader')}", "DENY", "mcp_server_version", f"{name}/1.0.0")
with acting("reader"):
    until(lambda: equal(versions(name), ["1.1.0"]))
    for act in (
        lambda: client.get_mcp_server_version(name, "1.0.0"),
        lambda: client.get_mcp_server_version_by_alias(name, "stable"),
    ):
        with refused():
            act()
    (seen,) = client.search_mcp_access_endpoints(name)
    equal((seen.id, seen.server_version or None, seen.resolved_version), (endpoint.id, None, None))
revoke(f"user:{mail('reader')}", "mcp_server_version", f"{name}/1.0.0")

# --- somebody with EDIT changes, and does not delete ---

with acting("trainer"):
    equal(names(), [])
    for change in (*edits, *ends):
        with refused():
            change()
grant(f"user:{mail('trainer')}", "EDIT", "mcp_server", name)
with acting("trainer"):
    until(lambda: client.set_mcp_server_tag(name, "by", "trainer"))
    for edit in edits:
        edit()
    all_refused("MANAGE", "EDIT", ends)
    equal(versions(name), ["1.0.0", "1.1.0", "6.6.6"])

# --- the first version makes the server, and its maker owns it ---

with acting("owner"):
    client.create_mcp_server_version(version(other, "1.0.0"), tools=[])
    equal(names(), sorted([name, other]))
with acting("trainer"):
    with refused():
        client.create_mcp_server_version(version(other, "2.0.0"), tools=[])
    equal(names(), [name])
with acting("owner"):
    client.update_mcp_server(other, description="mine")

# Two people at once: whoever is second has no say in what the first has made.
NUMBERS = {"owner": "1.0.0", "trainer": "2.0.0"}
for turn in range(5):
    raced, answers = f"{space}/raced-{turn}", {}
    start = threading.Barrier(2)

    def make(who):
        start.wait()
        answers[who] = rest(who, "POST", f"{API}/{raced}/versions", json={"server_json": version(raced, NUMBERS[who])}).status_code

    makers = [threading.Thread(target=make, args=(who,)) for who in ("owner", "trainer")]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    equal(sorted(answers.values()), [200, 403])
    (winner,) = (who for who, status in answers.items() if status == 200)
    (loser,) = set(answers) - {winner}
    with acting(winner):
        equal(versions(raced), [NUMBERS[winner]])
    with acting(loser), refused():
        client.get_mcp_server(raced)

# --- deletion forgets the grants ---

with acting("owner"):
    # MLflow deletes no server with an active version, for its owner and for nobody else.
    client.update_mcp_server_version(name, "1.1.0", status=MCPStatus.DEPRECATED)
    for end in ends:
        end()
    with refused():
        client.get_mcp_server(name)
assert f" {name}" not in operator("grant", "list"), "grants outlived their server"
with acting("trainer"):
    client.create_mcp_server(name)
    equal(client.get_mcp_server(name).description, None)
for who in ("owner", "reader"):
    with acting(who), refused():
        client.get_mcp_server(name)
