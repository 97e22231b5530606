"""When is a token renewed?"""

from __future__ import annotations

import pytest
from lookalike import jwt

from trackgate_mlflow import TrackgateError
from trackgate_mlflow._life import Token, checked

NOW = 1_790_000_000.0
HOUR = 3600.0


@pytest.mark.parametrize(("life", "fresh_for"), [(HOUR, 2880), (600, 480), (240, 180), (90, 45), (120, 60), (2, 1)])
def test_one_is_renewed_at_four_fifths_and_a_minute_before_its_end(life: float, fresh_for: float) -> None:
    token = Token.of(jwt(life, now=NOW), NOW)
    assert token.is_fresh(NOW + fresh_for - 0.01)
    assert not token.is_fresh(NOW + fresh_for)
    assert token.is_alive(NOW + life - 0.01)
    assert not token.is_alive(NOW + life)


def test_one_from_a_cache_is_renewed_by_what_is_left_of_it() -> None:
    token = Token.of(jwt(HOUR, now=NOW - HOUR + 300), NOW)
    assert token.is_fresh(NOW + 239)
    assert not token.is_fresh(NOW + 240)


def test_one_without_an_end_is_never_renewed_by_itself() -> None:
    for text in ("tgp_00000000_x", "no.jwt.atall", jwt(1, now=NOW).replace(".", "-")):
        token = Token.of(text, NOW)
        assert token.is_fresh(NOW + 1e9)
        assert token.is_alive(NOW + 1e9)


def test_a_clock_that_is_wrong_neither_kills_nor_immortalises() -> None:
    ahead = Token.of(jwt(HOUR, now=NOW - 10 * HOUR), NOW)
    assert ahead.is_fresh(NOW)
    assert not ahead.is_alive(NOW + 300)
    behind = Token.of(jwt(HOUR, now=NOW + 10 * HOUR), NOW)
    assert behind.is_fresh(NOW + 2879)
    assert not behind.is_fresh(NOW + 2880)
    set_back = Token.of(jwt(HOUR, now=NOW), NOW)
    assert not set_back.is_fresh(NOW - HOUR)
    assert set_back.is_alive(NOW - HOUR)


@pytest.mark.parametrize("exp", ["soon", True, None, -5, 1e300, [1]])
def test_a_strange_end_is_none(exp: object) -> None:
    assert Token.of(jwt(exp=exp), NOW).ends is None


def test_a_token_is_not_shown() -> None:
    assert "tgp_secret" not in repr(Token.of("tgp_secret", NOW))


@pytest.mark.parametrize("text", ["", " \n", "two tokens", "line\r\nX-Evil: 1", "grün", "x" * 20000, "\x00"])
def test_what_cannot_stand_in_a_header_field_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(TrackgateError) as fault:
        checked(text, "here")
    assert "Evil" not in str(fault.value)
    assert "here" in str(fault.value)


def test_white_space_around_a_token_is_no_harm() -> None:
    assert checked(" tgp_x\n", "here") == "tgp_x"
    assert checked("Bearer tgp_x", "here") == "tgp_x"
