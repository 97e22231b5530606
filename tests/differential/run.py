"""The same users, grants and requests against MLflow's basic-auth and against Trackgate before a stock MLflow.

    python tests/differential/run.py    (with TRACKGATE_BINARY; `cargo test --test live differential -- --ignored` sees to all)

For every row of the table: one valid request for each user, on an object in an experiment that the user holds a level on
(`near`) and on one where nobody holds anything (`far`). Two of the users manage everything but hold less on what lies inside
(runs, traces, versions). Compared are the outcome (allowed, refused, absent) and which of
the objects the answer names. A difference that docs/differences.md does not name ends the run with code 1.
"""

import fnmatch
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "upstream_suite")]

from calls import AFTER, BEFORE, CALLS, CAPTURES, FRESH, NOT_DRIVEN, ON_PROMPTS, PROMPT_CALLS, WITHOUT_SUCCESS
from servers import USERS, both, name_of
from world import World, fresh_name, settle, spans

DIFFERENCES = HERE.parent.parent / "docs" / "differences.md"
# What other texts hold too, or nobody looks for.
UNTOLD = ["experiment", "version", "mcp_version", "mcp_slug", "artifact", "artifact_root", "endpoint", "role", "role_permission"]
OUTCOMES = {"allowed", "refused", "absent", "shows more", "shows less"}
FAR_USERS = ["nobody", "manager", "admin"]


def rows():
    listed = [os.environ["TRACKGATE_BINARY"], "routes", "--format", "json"]
    for row in json.loads(subprocess.run(listed, check=True, capture_output=True, text=True).stdout):
        if not row["path"].startswith("/trackgate/"):
            yield row


def named_differences():
    """The lines of the table: globs of calls, of users, and what each side says."""
    for line in DIFFERENCES.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 5 and OUTCOMES.issuperset(cells[2:4]):
            calls, users, theirs, ours, _ = cells
            words = lambda text: [word.strip("` ") for word in text.split(",")]
            yield words(calls), words(users), theirs, ours


def filled(template, things):
    if isinstance(template, dict):
        return {key: filled(value, things) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, things) for value in template]
    if isinstance(template, str):
        return re.sub(r"\$(?!data\b)([a-z_]+)", lambda match: str(things[match.group(1)]), template)
    return template


def request(row, template, things, user):
    number = fresh_name("n").rpartition("-")[2]
    things = {**things, "new": fresh_name("new"), "new_trace": f"tr-{int(number):032x}", "number": number}
    things["self"] = name_of(user)
    captures = {**CAPTURES, **template.get("/", {})}
    path = row["path"].replace("{api|ajax-api}", "api")
    path = re.sub(r"\{\*?(\w+)\}", lambda match: filled(captures[match.group(1)], things), path)
    template = filled({key: value for key, value in template.items() if key != "/"}, things)
    if "otlp" in template:
        headers = {**template["headers"], "content-type": "application/x-protobuf"}
        return path, {"headers": headers, "data": spans(template["otlp"])}
    if "data" in template:
        return path, {"query": template.get("?"), "data": template["data"].encode()}
    return path, {"query": template} if row["method"] == "GET" else {"body": template}


def outcome(answer):
    if answer.status_code in (401, 403):
        return "refused"
    if answer.status_code == 404:
        return "absent"
    text = answer.text[:300]
    # What a setting of Trackgate's keeps closed reads as of a server that cannot do it.
    if answer.status_code == 501 and "access.presigned_artifacts" in text:
        return "refused"
    if "Refused because it could be read" in text or "The request is not valid" in text or answer.status_code == 422:
        return f"unread: {text}"
    return "allowed"


def seen(answer, things):
    """Which of the things the answer names."""
    if answer.status_code != 200:
        return frozenset()
    found = set()
    for where, named in things.items():
        for word, value in named.items():
            if word not in UNTOLD and f'"{value}"' in answer.text:
                found.add(f"{where}-{word}")
    return frozenset(found)


def drive(row, template, on_prompt, sides):
    """Every comparison of this row: (call, user, place, theirs, ours, texts), and None where both sides say the same."""
    call = row["name"] + (":prompt" if on_prompt else "")
    fresh = FRESH.get(row["name"])
    if on_prompt and fresh:
        fresh = "prompt_version"
    for where, users in [("near", USERS), ("far", FAR_USERS)]:
        for user in users:
            told = []
            for server, world in sides:
                things = dict(world.things[where])
                if fresh:
                    things.update(world.fresh(fresh, where))
                if on_prompt:
                    things["registered_model"] = things["prompt"]
                if row["name"] in BEFORE:
                    before, body = BEFORE[row["name"]]
                    server.make("POST", before, body=filled(body, things))
                path, how = request(row, template, things, user)
                answer = server.ask(user, row["method"], path, **how)
                told.append((outcome(answer), seen(answer, world.things), answer))
                if row["name"] in AFTER and (answer.status_code == 200) != (row["name"] in BEFORE):
                    after, body = AFTER[row["name"]]
                    server.make("POST", after, body=filled(body, things))
            (theirs, their_sight, their_answer), (ours, our_sight, our_answer) = told
            if (where, user) == ("near", "admin") and not (their_answer.ok and our_answer.ok) and theirs == ours:
                if not any(fnmatch.fnmatchcase(call, glob) for glob in WITHOUT_SUCCESS):
                    ours = "no success"
            texts = f"{their_answer.status_code} {their_answer.text[:150]!r} / {our_answer.status_code} {our_answer.text[:200]!r}"
            if theirs != ours:
                yield call, user, where, theirs, ours, texts
            elif theirs == "allowed" and their_answer.ok and our_answer.ok and their_sight != our_sight:
                more, less = sorted(our_sight - their_sight), sorted(their_sight - our_sight)
                ours = " ".join(filter(None, [f"shows more: {' '.join(more)}" if more else "", "shows less" if less else ""]))
                yield call, user, where, "allowed", ours, f"more {more} less {less}"
            else:
                yield None


def main():
    wanted = sys.argv[1:]
    known = list(named_differences())
    used, unnamed, named, equal, driven, skipped, listed, closed = set(), [], 0, 0, 0, [], [], []
    with both() as (basic, gate):
        sides = []
        for server in (basic, gate):
            world = World(server)
            world.grant()
            sides.append((server, world))
            for what, fault in world.missing.items():
                print(f"no {what}: {fault}", flush=True)
        for server, world in sides:
            settle(server, world)
        for row in rows():
            if wanted and not any(fnmatch.fnmatch(row["name"], glob) for glob in wanted):
                continue
            if any(need.startswith("closed:") for need in row["needs"]):
                closed.append(row["name"])
                continue
            reasons = [why for glob, why in NOT_DRIVEN.items() if fnmatch.fnmatchcase(row["name"], glob)]
            if reasons:
                listed.append(f"{row['name']} ({reasons[0]})")
                continue
            if row["name"] not in CALLS:
                skipped.append(row["name"])
                continue
            for on_prompt in [False, True] if row["name"] in ON_PROMPTS else [False]:
                template = PROMPT_CALLS.get(row["name"], CALLS[row["name"]]) if on_prompt else CALLS[row["name"]]
                try:
                    for compared in drive(row, template, on_prompt, sides):
                        if compared is None:
                            equal += 1
                            continue
                        call, user, where, theirs, ours, texts = compared
                        for index, (calls, users, their_word, our_word) in enumerate(known):
                            if (
                                any(fnmatch.fnmatch(call, glob) for glob in calls)
                                and any(fnmatch.fnmatch(f"{user}@{where}", glob) for glob in users)
                                and (their_word, our_word) == (theirs, ours.partition(":")[0])
                            ):
                                used.add(index)
                                named += 1
                                break
                        else:
                            unnamed.append((call, user, where))
                            print(f"DIFFERS {call} {user}@{where}: basic-auth {theirs}, Trackgate {ours}\n    {texts}", flush=True)
                    driven += not on_prompt
                except (KeyError, RuntimeError) as fault:
                    skipped.append(f"{row['name']} ({fault!r:.200})")
    print(f"closed to everybody by Trackgate, not asked: {', '.join(closed)}")
    print(f"not driven, with a reason: {', '.join(listed)}")
    print(f"neither driven nor listed: {', '.join(skipped) or 'none'}")
    total = driven + len(closed) + len(listed) + len(skipped)
    print(
        f"{total} rows: {driven} driven, {len(closed)} closed to everybody, {len(listed)} not driven with a reason, "
        f"{len(skipped)} neither"
    )
    print(
        f"{equal + named + len(unnamed)} requests compared: {equal} equal, {named} differ as docs/differences.md says, "
        f"{len(unnamed)} differ otherwise"
    )
    if not wanted:
        for index, line in enumerate(known):
            if index not in used:
                print(f"no difference any more: {line}")
    sys.exit(1 if unnamed or skipped else 0)


if __name__ == "__main__":
    main()
