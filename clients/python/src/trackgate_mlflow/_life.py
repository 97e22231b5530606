"""When is a token renewed, and when is it over?

At four fifths of its life, at the latest a minute before its end, but not in the first half of its life. A token that
seems to be over when it comes (this machine's clock is wrong) is used all the same, as long as its maker made it for: the server
judges, and a 401 leads to another.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Dict, Optional

from ._errors import TrackgateError

_AHEAD = 60.0
_DOUBTFUL = 300.0
_LONGEST = 16 * 1024


@dataclass(frozen=True)
class Token:
    """A token, and when it ends where that is known. Its text is not shown."""

    text: str
    got: float
    ends: Optional[float]

    @classmethod
    def of(cls, text: str, now: float, ends: Optional[float] = None) -> Token:
        """Takes a token; `ends` is what was said beside it, else a JWT says it itself."""
        if ends is not None:
            return cls(text, now, ends)
        claims = _claims(text)
        exp, iat = _number(claims.get("exp")), _number(claims.get("iat"))
        if exp is None:
            return cls(text, now, None)
        life = exp - iat if iat is not None and exp > iat else None
        left = exp - now
        if left <= 0:
            return cls(text, now, now + min(life or _DOUBTFUL, _DOUBTFUL))
        # More is left than it was made for: this clock is behind.
        return cls(text, now, now + min(left, life or left))

    def is_fresh(self, now: float) -> bool:
        """Whether it is used as it is."""
        if self.ends is None:
            return True
        life = self.ends - self.got
        due = max(min(self.got + 0.8 * life, self.ends - _AHEAD), self.got + 0.5 * life)
        # A clock that was set back: how old it is nobody knows.
        return self.got - 1 <= now < due

    def is_alive(self, now: float) -> bool:
        """Whether it can be used while it cannot be renewed."""
        return self.ends is None or now < self.ends

    def __repr__(self) -> str:
        return f"Token(ends={self.ends})"


def checked(text: str, where: str) -> str:
    """A token that can stand in a header field. It is not repeated in a fault."""
    text = text.strip()
    if text.lower().startswith("bearer "):
        text = text[7:].strip()
    if not text:
        raise TrackgateError(f"{where} is empty: there is no token in it")
    if len(text) > _LONGEST or not all("!" <= c <= "~" for c in text):
        raise TrackgateError(f"{where} holds no token: one token is wanted, on one line")
    return text


def _claims(text: str) -> Dict[str, Any]:
    """What a JWT says (RFC 7519). Nothing is verified: that is the server's part."""
    parts = text.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _number(value: object) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12 else None
