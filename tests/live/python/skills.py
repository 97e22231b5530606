"""The registry of skills: who makes, sees, pulls, changes and deletes skills, versions, aliases and tags."""

import threading
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from actors import acting, equal, fresh, grant, mail, operator, refusal, refused, rest, revoke, same, until

client = MlflowClient()
API, FILES = "/api/3.0/mlflow/skills", "/api/2.0/mlflow-artifacts/artifacts"
GIT = {"source_type": "git", "source": "https://git.example/skills.git", "ref": "v1"}
# Alone and in an organization: two paths, one kind.
ALONE, WITH = {"name": fresh("review")}, {"name": fresh("review"), "organization": fresh("acme")}
SKILLS = (ALONE, WITH)


def path(skill):
    return f"@{skill['organization']}/{skill['name']}" if "organization" in skill else skill["name"]


OURS = {path(skill) for skill in SKILLS}
ABSENT = {path(ALONE): fresh("nothing"), path(WITH): f"@{WITH['organization']}/nothing"}


def names():
    """What the list of skills holds of ours, read in pages of one."""
    found, token = [], None
    while True:
        page = client.search_skills(max_results=1, page_token=token)
        found += [path({"name": one.name, **({"organization": one.organization} if one.organization else {})}) for one in page]
        token = page.token
        if not token:
            return sorted(set(found) & OURS)


def versions(skill):
    return sorted(one.version for one in client.search_skill_versions(**skill))


def folder(skill, words):
    made = Path(fresh("skill"))
    made.mkdir()
    (made / "SKILL.md").write_text(f"---\nname: {skill['name']}\ndescription: looks at code\n---\n{words}\n")
    (made / "notes").mkdir()
    (made / "notes" / "more.md").write_text("more")
    return str(made)


def register(skill, words):
    return mlflow.genai.register_skill(source=folder(skill, words), **skill)


def pulled(skill, ending):
    to = mlflow.genai.pull(f"skills:/{path(skill)}{ending}", destination=fresh("pulled"))
    return (Path(to) / "SKILL.md").read_text().splitlines()[-1]


# --- the owner makes one by itself, the other by its first version ---

with acting("guest"):
    with refused():
        client.create_skill(**ALONE)
    with refused():
        register(ALONE, "one")
with acting("owner"):
    equal(client.create_skill(**ALONE, description="of owner").name, ALONE["name"])
    content = {}
    for skill in SKILLS:
        equal(register(skill, "one").version, 1)
        second = register(skill, "two")
        equal(second.version, 2)
        content[path(skill)] = second.source.artifact_path
        equal(client.create_skill_version(**skill, source=GIT["source"], digest="0" * 64).version, 3)
        client.set_skill_alias(**skill, alias="stable", version=1)
        client.set_skill_tag(**skill, key="team", value="a")
        client.set_skill_version_tag(**skill, version=1, key="checked/by", value="yes")
        equal(client.get_skill_version_by_alias(**skill, alias="stable").version, 1)
        equal(client.get_skill_version(**skill, version=1).tags, {"checked/by": "yes"})
        equal(client.get_latest_skill_version(**skill).version, 3)
        equal(client.get_skill(**skill).tags, {"team": "a"})
        equal(client.update_skill(**skill, description="of owner still").description, "of owner still")
        equal(versions(skill), [1, 2, 3])
        equal((pulled(skill, "@stable"), pulled(skill, "/2")), ("one", "two"))
    equal(names(), sorted(OURS))

# --- a stranger learns nothing, and changes nothing ---

CALLS = [
    ("GET", "", None),
    ("GET", "/versions", None),
    ("GET", "/versions/1", None),
    ("GET", "/aliases/stable", None),
    ("PATCH", "", {"description": "theirs"}),
    ("POST", "/versions", {**GIT, "digest": "0" * 64}),
    ("PATCH", "/versions/1", {"status": "deprecated"}),
    ("POST", "/tags", {"key": "team", "value": "theirs"}),
    ("POST", "/aliases", {"alias": "stable", "version": 2}),
    ("POST", "/versions/1/tags", {"key": "checked", "value": "no"}),
    ("DELETE", "", None),
    ("DELETE", "/versions/1", None),
    ("DELETE", "/aliases/stable", None),
    ("DELETE", "/tags/team", None),
    ("DELETE", "/versions/1/tags/checked/by", None),
]


def nothing_is_seen(who):
    """Of a skill whose name is taken and hidden one learns as much as of a name that is free."""
    with acting(who):
        equal(names(), [])
        equal(list(client.search_skills(include_skill_identities=sorted(OURS))), [])
        for skill in SKILLS:
            with refused():
                mlflow.genai.pull(f"skills:/{path(skill)}", destination=fresh("pulled"))
    for skill in OURS:
        for method, below, said in CALLS:
            more = {} if said is None else {"json": said}
            same(who, method, f"{API}/%s{below}", skill, ABSENT[skill], **more)
        place = content[skill].removeprefix("mlflow-artifacts:/")
        same(who, "GET", f"{FILES}/%s/SKILL.md", place, place.replace(skill, ABSENT[skill]))
        same(who, "GET", f"{FILES}?path=%s", place, place.replace(skill, ABSENT[skill]))
    equal(rest(who, "GET", f"{FILES}?path=skills").status_code, 403)


nothing_is_seen("guest")

# --- a reader reads ---


def edits(skill):
    return [
        lambda: client.update_skill(**skill, description="theirs"),
        lambda: register(skill, "three"),
        lambda: client.create_skill_version(**skill, source=GIT["source"], digest="1" * 64),
        lambda: client.set_skill_tag(**skill, key="team", value="theirs"),
        lambda: client.set_skill_version_tag(**skill, version=1, key="k", value="v"),
        lambda: client.set_skill_alias(**skill, alias="stable", version=2),
    ]


def ends(skill):
    return [
        lambda: client.update_skill_version(**skill, version=1, status="deprecated"),
        lambda: client.delete_skill_version_tag(**skill, version=1, key="checked/by"),
        lambda: client.delete_skill_tag(**skill, key="team"),
        lambda: client.delete_skill_alias(**skill, alias="stable"),
        lambda: client.delete_skill_version(**skill, version=1),
        lambda: client.delete_skill(**skill),
    ]


def all_refused(skill, level, holds, acts):
    for act in acts:
        told = refusal(act)
        if f" needs {level} on skill {path(skill)}; you hold {holds}. Ask {mail('owner')} for it." not in told:
            raise AssertionError(told)


# One after the other: who sees one does not see the other.
for skill in SKILLS:
    grant(f"user:{mail('reader')}", "READ", "skill", path(skill))
    with acting("reader"):
        until(lambda: equal(names(), [path(skill)]))
        found = client.search_skills(include_skill_identities=sorted(OURS))
        equal([(one.name, one.organization) for one in found], [(skill["name"], skill.get("organization", ""))])
        equal(client.get_skill(**skill).description, "of owner still")
        equal(versions(skill), [1, 2, 3])
        equal(client.get_skill_version_by_alias(**skill, alias="stable").version, 1)
        equal(client.get_latest_skill_version(**skill).version, 3)
        equal((pulled(skill, "@stable"), pulled(skill, "/2")), ("one", "two"))
        all_refused(skill, "EDIT", "READ", edits(skill))
        all_refused(skill, "MANAGE", "READ", ends(skill))
        with refused():
            client.bulk_register_skills(skill_definitions=[{**GIT, "name": skill["name"], "digest": "2" * 64}])
    revoke(f"user:{mail('reader')}", "skill", path(skill))
    with acting("reader"):
        until(lambda: equal(names(), []))
nothing_is_seen("reader")

# --- somebody with EDIT changes, and does not delete ---

with acting("trainer"):
    equal(names(), [])
    for skill in SKILLS:
        for change in (*edits(skill), *ends(skill)):
            with refused():
                change()
for skill in SKILLS:
    grant(f"user:{mail('trainer')}", "EDIT", "skill", path(skill))
with acting("trainer"):
    until(lambda: equal(names(), sorted(OURS)))
    for skill in SKILLS:
        for edit in edits(skill):
            edit()
        all_refused(skill, "MANAGE", "EDIT", ends(skill))
        equal(versions(skill), [1, 2, 3, 4, 5])

# Two people at once: whoever is second has no say in what the first has made.
for turn in range(5):
    raced, answers = fresh("raced"), {}
    start = threading.Barrier(2)

    def make(who):
        start.wait()
        answers[who] = rest(who, "POST", f"{API}/{raced}/versions", json={**GIT, "digest": "3" * 64}).status_code

    makers = [threading.Thread(target=make, args=(who,)) for who in ("owner", "trainer")]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    equal(sorted(answers.values()), [200, 403])
    (winner,) = (who for who, status in answers.items() if status == 200)
    (loser,) = set(answers) - {winner}
    with acting(winner):
        equal(versions({"name": raced}), [1])
    with acting(loser), refused():
        client.get_skill(name=raced)

# --- deletion forgets the grants ---

with acting("owner"):
    for skill in SKILLS:
        for end in ends(skill):
            end()
        with refused():
            client.get_skill(**skill)
listed = operator("grant", "list")
for skill in SKILLS:
    assert path(skill) not in listed, "grants outlived their skill"
with acting("trainer"):
    for skill in SKILLS:
        client.create_skill(**skill)
        equal(client.get_skill(**skill).description, None)
for who in ("owner", "reader"):
    with acting(who):
        for skill in SKILLS:
            with refused():
                client.get_skill(**skill)
