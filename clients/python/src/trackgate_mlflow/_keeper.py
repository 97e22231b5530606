"""Who holds a token, and has it renewed once for all who wait?

One thread renews; the others go on with what still counts, or wait for that one. A renewal that fails ends nothing that still
counts. After a fork the child has the token and a lock of its own.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import Optional

from ._errors import TrackgateError
from ._life import Token
from ._sources import Source

_logger = logging.getLogger("trackgate_mlflow")
_LONGEST_PAUSE = 60.0
# A server that refuses whatever it is shown makes us ask the source so often, not at each call.
_AFTER_REFUSAL = 10.0
# And so often when it takes some calls and refuses others.
_AFTER_BOTH = 1.0
_PATIENCE = 180.0
_LATELY = 60.0


class Keeper:
    """Holds one token. Shared by all threads."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._held: Optional[Token] = None
        self._lock = threading.Lock()
        self._tries = 0
        self._failures = 0
        self._quiet_until = 0.0
        self._doubted, self._doubt_until = 0.0, 0.0
        self._accepted = ("", 0.0)
        self._fault: Optional[TrackgateError] = None
        _keepers.add(self)

    def token(self) -> str:
        """A token that counts now, as far as can be known here."""
        if self.source.cheap:
            return self.source.fetch(None).text
        held, now, tries = self._held, time.time(), self._tries
        if held is not None and held.is_fresh(now):
            return held.text
        alive = held is not None and held.is_alive(now)
        # Nobody waits for a renewal while there is a token that counts.
        if alive and held is not None and (now < self._quiet_until or not self._lock.acquire(blocking=False)):
            return held.text
        if not alive:
            self._wait()
        try:
            if self._held is not held and self._held is not None and self._held.is_alive(time.time()):
                return self._held.text
            if not alive and self._tries != tries and self._fault is not None:
                # Somebody tried while we waited: no queue of tries, each as long as a timeout.
                raise type(self._fault)(str(self._fault))
            return self._renew(held).text
        finally:
            self._lock.release()

    def instead_of(self, refused: str) -> Optional[str]:
        """Another token than this, which the server refused, if there is another."""
        if self.source.cheap:
            text = self.source.fetch(refused).text
            return text if text != refused else None
        tries = self._tries
        self._wait()
        try:
            if self._held is not None and self._held.text != refused:
                return self._held.text
            now = time.time()
            there = self.source.glance(refused)
            if there is not None:
                self._held, self._quiet_until = there, 0.0
                return there.text
            if self._tries != tries or now < self._doubt_until:
                return None
            self._doubted, self._doubt_until = now, now + _AFTER_REFUSAL
            text = self._fetch(refused).text
            return text if text != refused else None
        finally:
            self._lock.release()

    def accepted(self, text: str) -> None:
        """The server took it: the next refusal is news. Not at once: it may take one kind of call and refuse another."""
        self._doubt_until = min(self._doubt_until, self._doubted + _AFTER_BOTH)
        self._accepted = (text, time.time())

    def was_accepted(self, text: str) -> bool:
        """Whether the server took this one a moment ago."""
        accepted, at = self._accepted
        return accepted == text and 0 <= time.time() - at < _LATELY

    def _wait(self) -> None:
        if not self._lock.acquire(timeout=_PATIENCE):
            raise TrackgateError(f"{self.source.name}: another thread has been renewing the token for {_PATIENCE:.0f} s")

    def _renew(self, held: Optional[Token]) -> Token:
        now = time.time()
        try:
            return self._fetch(held.text if held is not None else None)
        except TrackgateError as fault:
            if held is None or not held.is_alive(now):
                raise
            self._quiet_until = now + min(2.0**self._failures, _LONGEST_PAUSE)
            if self._failures == 0:
                _logger.warning("%s; the token from before still counts, and it is tried again", fault)
            self._failures = min(self._failures + 1, 10)
            return held

    def _fetch(self, stale: Optional[str]) -> Token:
        self._tries += 1
        try:
            token = self.source.fetch(stale)
        except TrackgateError as fault:
            self._fault = fault
            raise
        self._fault, self._failures = None, 0
        # A cache that gives the same again is not asked at each call.
        self._quiet_until = time.time() + 1 if token.text == stale else 0.0
        self._held = token
        return token

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _after_fork() -> None:
    # The thread that held a lock does not exist here, and would never give it back.
    for keeper in list(_keepers):
        keeper._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
