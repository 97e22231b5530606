"""Where does a login lie on this machine, and how is it changed so that nothing gets lost?

`credentials.json` in `TRACKGATE_CONFIG_DIR`, else `XDG_CONFIG_HOME/trackgate`, else `~/.config/trackgate` (on Windows
`%APPDATA%\\trackgate`): the file that `trackgate login` writes and `trackgate connect` reads. Folder 0700, file 0600. What others
wrote into it stays. It is only replaced as a whole (temporary file, flush, rename), under a lock on `credentials.lock`
that is held from before reading until after writing. What cannot be understood is never written over.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from ._errors import PassingError, TrackgateError
from ._server import Server

_MOST = 1024 * 1024
_VERSION = 1
_PATIENCE = 60.0
_GLANCE = 0.02


def folder() -> Path:
    """The person's own folder."""
    if named := os.environ.get("TRACKGATE_CONFIG_DIR"):
        return Path(named)
    if sys.platform == "win32":
        above = os.environ.get("APPDATA")
        if not above:
            raise TrackgateError("APPDATA is not set: say in TRACKGATE_CONFIG_DIR in which folder credentials are to be kept")
        return Path(above) / "trackgate"
    # XDG Base Directory Specification 0.8: a path that is not absolute is to be ignored.
    xdg = os.environ.get("XDG_CONFIG_HOME", "")
    if xdg and os.path.isabs(xdg):
        return Path(xdg) / "trackgate"
    home = os.environ.get("HOME")
    if not home:
        raise TrackgateError("HOME is not set: say in TRACKGATE_CONFIG_DIR in which folder credentials are to be kept")
    return Path(home) / ".config" / "trackgate"


@dataclass(frozen=True)
class Entry:
    """What a login gave for one server."""

    user: str
    access_token: str
    access_expires_at: int
    refresh_token: Optional[str]
    refresh_expires_at: Optional[int]
    token_endpoint: str

    def same(self, other: Entry) -> bool:
        """Whether it holds the same secrets."""
        return (self.access_token, self.refresh_token) == (other.access_token, other.refresh_token)

    def __repr__(self) -> str:
        return f"Entry(user={self.user!r})"


class Kept:
    """The file, and the lock beside it."""

    def __init__(self, at: Optional[Path] = None) -> None:
        self.folder = folder() if at is None else at
        self.file = self.folder / "credentials.json"
        # Whether the lock is held: nobody else writes then.
        self._alone = False

    def read(self) -> Document:
        """What it holds now; nothing where it is missing."""
        self._look()
        text = self._text()
        return Document(self.file, {"version": _VERSION, "servers": {}}) if text is None else Document.parse(self.file, text)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Our turn to change it. Where there can be no lock (a read-only disk), there is nothing to wait for either."""
        with contextlib.suppress(TrackgateError):
            self._make()
        lock = self.folder / "credentials.lock"
        handle = None
        for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
            # On a read-only disk a lock's file that is there still serves.
            with contextlib.suppress(OSError):
                handle = os.open(lock, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
                break
        if handle is None:
            yield
            return
        locked: Optional[bool] = False
        try:
            end = time.monotonic() + _PATIENCE
            while (locked := _try_lock(handle)) is False:
                if time.monotonic() > end:
                    raise PassingError(f"{lock} has been locked by another process for a minute; end it, and try again")
                time.sleep(_GLANCE)
            self._alone = locked is True
            yield
        finally:
            self._alone = False
            # Said, not left to close(): a process that was forked meanwhile has the handle too.
            if locked:
                _unlock(handle)
            os.close(handle)

    def write(self, document: Document) -> None:
        """Replaces it. Raises TrackgateError when that cannot be; the old one is still there then."""
        text = json.dumps(document.root, indent=2).encode()
        try:
            unfinished = self._put(text)
            try:
                os.replace(unfinished, self.file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.remove(unfinished)
                raise
        except OSError as fault:
            raise TrackgateError(f"{self.file} cannot be written: {fault.strerror or fault}") from None
        if sys.platform != "win32":
            # The new name lasts once the folder is flushed; the content lasts already.
            with contextlib.suppress(OSError):
                handle = os.open(self.folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def try_writing(self) -> None:
        """Raises TrackgateError when something of this size could not be written now."""
        try:
            os.remove(self._put(b" " * (len(self._text() or b"") + 2048)))
        except OSError as fault:
            raise TrackgateError(f"{self.file} cannot be written: {fault.strerror or fault}") from None

    def _put(self, text: bytes) -> Path:
        self._make()
        if self._alone:
            self._sweep()
        path = self.folder / f".credentials-{secrets.token_hex(8)}.tmp"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.remove(path)
            raise
        return path

    def _sweep(self) -> None:
        """Takes away what a process left that was killed while it wrote: who holds the lock is the only one who writes."""
        for path in self.folder.glob(".credentials-*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _make(self) -> None:
        self._look()
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
        except OSError as fault:
            raise TrackgateError(f"{self.folder} cannot be made: {fault.strerror or fault}") from None

    def _look(self) -> None:
        """Refuses a folder in which others could put their file in the place of ours."""
        try:
            found = os.stat(self.folder)
        except FileNotFoundError:
            return
        except OSError as fault:
            raise TrackgateError(f"{self.folder} cannot be read: {fault.strerror or fault}") from None
        if not stat.S_ISDIR(found.st_mode):
            raise TrackgateError(f"{self.folder} is not a folder; set TRACKGATE_CONFIG_DIR to another one")
        mode = stat.S_IMODE(found.st_mode)
        if sys.platform != "win32" and mode & 0o022:
            raise TrackgateError(f"{self.folder} can be written by others (mode {mode:04o}); run: chmod 700 {self.folder}")

    def _text(self) -> Optional[bytes]:
        try:
            found = os.lstat(self.file)
            if stat.S_ISLNK(found.st_mode):
                raise TrackgateError(
                    f"{self.file} is a symbolic link, and would be replaced when it is next written; "
                    "set TRACKGATE_CONFIG_DIR to the folder that it leads into"
                )
            # Looked at before it is opened: a pipe would make us wait.
            if not stat.S_ISREG(found.st_mode):
                raise TrackgateError(f"{self.file} is not a file")
            with open(self.file, "rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if sys.platform != "win32" and mode & 0o077:
                    raise TrackgateError(
                        f"{self.file} can be read or written by others (mode {mode:04o}); run: chmod 600 {self.file}"
                    )
                text = file.read(_MOST + 1)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise TrackgateError(f"{self.file} cannot be read: {fault.strerror or fault}") from None
        if len(text) > _MOST:
            raise _garbage(self.file, "it is too large")
        return text


class Document:
    """What the file holds."""

    def __init__(self, path: Path, root: Dict[str, Any]) -> None:
        self.path = path
        self.root = root

    @classmethod
    def parse(cls, path: Path, text: bytes) -> Document:
        """Reads it. No fault quotes it: there are secrets in it."""
        try:
            root = json.loads(text.decode("utf-8"))
        except ValueError:
            raise _garbage(path, "it is no JSON") from None
        if not isinstance(root, dict) or not isinstance(root.get("servers"), dict):
            raise _garbage(path, "it has no `servers`")
        version = root.get("version")
        if version != _VERSION or isinstance(version, bool):
            newer = isinstance(version, int) and version > _VERSION
            raise _garbage(path, "a newer version wrote it" if newer else "it has no `version`")
        return cls(path, root)

    def find(self, server: Server) -> Optional[Tuple[Server, Entry]]:
        """The login at this server, and the name under which it is kept."""
        for name in server.names():
            if name in self.root["servers"]:
                found = Server.parse(name)
                return found, self._entry(found)
        return None

    def _entry(self, server: Server) -> Entry:
        kept = self.root["servers"][server.key]

        def lacks(member: str) -> TrackgateError:
            return _garbage(self.path, f"what it holds for {server} has no proper `{member}`")

        if not isinstance(kept, dict):
            raise lacks("access_token")

        def text(member: str) -> str:
            value = kept.get(member)
            if not isinstance(value, str) or not value or not all("!" <= c <= "~" for c in value):
                raise lacks(member)
            return value

        user = kept.get("user")
        if not isinstance(user, str) or not user or not user.isprintable():
            raise lacks("user")
        ends = _moment(kept.get("access_expires_at"))
        if ends is None:
            raise lacks("access_expires_at")
        if not server.has(text("token_endpoint")):
            raise lacks("token_endpoint")
        refresh = text("refresh_token") if kept.get("refresh_token") is not None else None
        refresh_ends = _moment(kept.get("refresh_expires_at"))
        return Entry(user, text("access_token"), ends, refresh, refresh_ends, text("token_endpoint"))

    def put(self, server: Server, entry: Entry) -> None:
        """Keeps this for one server; members that we do not know stay."""
        kept = self.root["servers"].get(server.key)
        kept = dict(kept) if isinstance(kept, dict) else {}
        for member in Entry.__dataclass_fields__:
            value = getattr(entry, member)
            if value is None:
                kept.pop(member, None)
            else:
                kept[member] = value
        self.root["servers"][server.key] = kept

    def remove(self, server: Server) -> bool:
        """Forgets one server; whether there was something."""
        return self.root["servers"].pop(server.key, None) is not None


def _garbage(path: Path, why: str) -> TrackgateError:
    return TrackgateError(
        f"{path} is not a file of credentials: {why}; it is left as it is: look at it, and move it away to begin anew"
    )


def _moment(value: object) -> Optional[int]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15:
        return None
    return int(value)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> Optional[bool]:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: int) -> None:
        with contextlib.suppress(OSError):
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> Optional[bool]:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            # A file system without locks is one where there is nothing to wait for: neither locked by another nor by us.
            return False if fault.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR) else None
        return True

    def _unlock(handle: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
