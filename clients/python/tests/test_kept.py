"""Is the file of credentials the one of `trackgate login`, and does nothing get lost in it?"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import multiprocessing
import os
import resource
import stat
import time
from pathlib import Path

import pytest
from conftest import sign_in, write
from lookalike import Lookalike

from trackgate_mlflow import TrackgateError
from trackgate_mlflow._kept import Entry, Kept, folder
from trackgate_mlflow._server import Server

SERVER = Server.parse("https://mlflow.example.com")
# Word for word what the Rust client writes and wants (src/client/credentials/tests.rs).
GOOD = """{"version": 1, "written_by": "somebody else", "servers": {
  "https://mlflow.example.com": {"user": "alice@example.com", "access_token": "tgl_access", "access_expires_at": 1790000000.5,
    "refresh_token": "tgr_refresh", "refresh_expires_at": 1797000000, "token_endpoint": "https://mlflow.example.com/trackgate/oauth/token",
    "colour": "blue"},
  "https://other.example.com": {"anything": ["at", "all"]}}}"""
ENTRY = Entry(
    "alice@example.com", "tgl_access", 1790000000, "tgr_refresh", 1797000000, "https://mlflow.example.com/trackgate/oauth/token"
)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/home/alice"}, "/home/alice/.config/trackgate"),
        ({"HOME": "/home/alice", "XDG_CONFIG_HOME": "/xdg"}, "/xdg/trackgate"),
        ({"HOME": "/home/alice", "XDG_CONFIG_HOME": "relative"}, "/home/alice/.config/trackgate"),
        ({"HOME": "/home/alice", "XDG_CONFIG_HOME": "/xdg", "TRACKGATE_CONFIG_DIR": "/mine"}, "/mine"),
        ({"HOME": "/home/alice", "TRACKGATE_CONFIG_DIR": ""}, "/home/alice/.config/trackgate"),
    ],
)
def test_the_environment_says_where_the_folder_is(
    environment: "dict[str, str]", path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert folder() == Path(path)


def test_without_a_home_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    with pytest.raises(TrackgateError, match="TRACKGATE_CONFIG_DIR"):
        folder()


def test_what_is_kept_is_read_again_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "deep" / "folder")
    assert kept.read().find(SERVER) is None
    with kept.turn():
        document = kept.read()
        document.put(SERVER, ENTRY)
        kept.write(document)
    assert kept.read().find(SERVER) == (SERVER, ENTRY)
    assert stat.S_IMODE(kept.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    # The form that was agreed on.
    assert json.loads(kept.file.read_text()) == {
        "version": 1,
        "servers": {
            "https://mlflow.example.com": {
                "user": "alice@example.com",
                "access_token": "tgl_access",
                "access_expires_at": 1790000000,
                "refresh_token": "tgr_refresh",
                "refresh_expires_at": 1797000000,
                "token_endpoint": "https://mlflow.example.com/trackgate/oauth/token",
            }
        },
    }
    assert sorted(path.name for path in kept.folder.iterdir()) == ["credentials.json", "credentials.lock"]


def test_what_others_wrote_into_the_file_is_kept(kept: Kept) -> None:
    write(kept, GOOD)
    document = kept.read()
    assert document.find(SERVER) == (SERVER, ENTRY)
    document.put(SERVER, Entry("alice@example.com", "tgl_new", 1790000001, "tgr_new", None, ENTRY.token_endpoint))
    kept.write(document)
    written = json.loads(kept.file.read_text())
    assert written["written_by"] == "somebody else"
    assert written["servers"]["https://other.example.com"] == {"anything": ["at", "all"]}
    ours = written["servers"]["https://mlflow.example.com"]
    assert (ours["colour"], ours["access_token"]) == ("blue", "tgl_new")
    assert "refresh_expires_at" not in ours


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o606, 0o620, 0o644, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_command_that_mends_it(kept: Kept, mode: int) -> None:
    write(kept, GOOD)
    kept.file.chmod(mode)
    with pytest.raises(TrackgateError, match=f"chmod 600 {kept.file}"):
        kept.read()


def test_a_folder_that_others_may_write_to_is_refused_with_the_command_that_mends_it(kept: Kept) -> None:
    write(kept, GOOD)
    kept.folder.chmod(0o770)
    with pytest.raises(TrackgateError, match=f"chmod 700 {kept.folder}"):
        kept.read()


def test_what_is_no_plain_file_is_refused(kept: Kept, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(GOOD)
    kept.file.symlink_to(elsewhere)
    with pytest.raises(TrackgateError, match="symbolic link"):
        kept.read()
    kept.file.unlink()
    os.mkfifo(kept.file)
    with pytest.raises(TrackgateError, match="is not a file"):
        kept.read()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret-garbage",
        GOOD[:200],
        '["secret-garbage"]',
        '{"servers": {}}',
        '{"version": 1}',
        '{"version": 2, "servers": {}}',
        '{"version": true, "servers": {}}',
        '{"version": 1, "servers": []}',
        " " * (1024 * 1024 + 1),
    ],
)
def test_garbage_is_said_and_never_written_over(kept: Kept, text: str) -> None:
    write(kept, text)
    with pytest.raises(TrackgateError, match="is not a file of credentials") as fault:
        kept.read()
    assert "secret" not in str(fault.value)
    assert kept.file.read_text() == text


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("access_token", None),
        ("access_token", "two words"),
        ("access_token", "line\nbreak"),
        ("user", 7),
        ("access_expires_at", "soon"),
        ("access_expires_at", -1),
        ("refresh_token", ""),
        ("token_endpoint", "https://evil.example/trackgate/oauth/token"),
        ("token_endpoint", "http://mlflow.example.com/trackgate/oauth/token"),
    ],
)
def test_an_entry_that_is_not_whole_is_said(kept: Kept, member: str, value: object) -> None:
    good = json.loads(GOOD)
    good["servers"]["https://mlflow.example.com"][member] = value
    write(kept, good)
    with pytest.raises(TrackgateError, match=f"no proper `{member}`"):
        kept.read().find(SERVER)


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(kept: Kept, servers: Lookalike) -> None:
    sign_in(kept, servers)
    before = kept.file.read_bytes()

    def full() -> None:
        # No file can grow: what a full disk is to a writer.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        document = kept.read()
        document.put(SERVER, ENTRY)
        try:
            kept.write(document)
        except TrackgateError as fault:
            os._exit(7 if "cannot be written" in str(fault) else 8)
        os._exit(9)

    child = os.fork()
    if child == 0:
        full()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert kept.file.read_bytes() == before
    assert sorted(path.name for path in kept.folder.iterdir()) == ["credentials.json"]


def test_what_a_killed_process_left_is_taken_away(kept: Kept) -> None:
    (kept.folder / ".credentials-0123456789abcdef.tmp").write_text("half")
    with kept.turn():
        kept.try_writing()
    assert sorted(path.name for path in kept.folder.iterdir()) == ["credentials.lock"]


@pytest.mark.parametrize("why", ["no turn", "no lock's file", "no locks here"])
def test_who_does_not_hold_the_lock_takes_nothing_away(kept: Kept, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    # Another process writes at this moment.
    half = kept.folder / ".credentials-0123456789abcdef.tmp"
    half.write_text("half")
    if why == "no lock's file":
        (kept.folder / "credentials.lock").symlink_to(kept.folder / "nowhere" / "at all")
    elif why == "no locks here":

        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
    with contextlib.nullcontext() if why == "no turn" else kept.turn():
        kept.write(kept.read())
    assert half.exists()
    # And a turn that is over is none.
    with contextlib.suppress(FileNotFoundError):
        (kept.folder / "credentials.lock").unlink()
    monkeypatch.undo()
    with kept.turn():
        pass
    kept.write(kept.read())
    assert half.exists()


def _count(at: Path, times: int) -> None:
    kept = Kept(at)
    for _ in range(times):
        with kept.turn():
            document = kept.read()
            document.root["count"] = document.root.get("count", 0) + 1
            kept.write(document)


def test_processes_that_write_at_once_lose_nothing(kept: Kept) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_count, args=(kept.folder, 20)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert kept.read().root["count"] == 80


def test_a_child_that_was_forked_under_the_lock_does_not_keep_it(kept: Kept) -> None:
    with kept.turn():
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        begun = time.monotonic()
        with kept.turn():
            assert time.monotonic() - begun < 30
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
