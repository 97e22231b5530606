"""What can go wrong, in words that say what to do?"""

from __future__ import annotations


class TrackgateError(Exception):
    """There is no token, or nothing could be done with it. The text says what helps, and holds no secret."""


class PassingError(TrackgateError):
    """It may work in a while: the network, or a server that is away."""


def harmless(text: object, most: int = 300) -> str:
    """What somebody else wrote, as far as a terminal can be shown it."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in str(text)[: most + 1])
    return plain if len(plain) <= most else plain[: most - 3] + "..."
