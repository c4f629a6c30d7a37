from __future__ import annotations

import pytest
from tests.flows.player import TIMING, Player

from tfso_hypatos.exceptions import (
    BadRequest,
    Conflict,
    ConnectionFailed,
    NoAnswer,
    NotSent,
    OrderBusy,
    OutcomeUncertain,
    PermissionDenied,
    RateLimited,
    ServerError,
    TfsoHypatosError,
    TokenUnavailable,
)
from tfso_hypatos.flows.hold import Setbacks


def weigh(player: Player, setbacks: Setbacks, error: TfsoHypatosError) -> None:
    player.steps.clear()
    player.drive(setbacks.weigh(error, "add a line"))


def test_setbacks_say_when_to_look_again() -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    weigh(player, setbacks, NotSent("old"))
    assert player.steps == []
    for ambiguous in (NoAnswer("reset"), ServerError("down", status=500)):
        weigh(player, setbacks, ambiguous)
        assert player.steps == ["pause 10"]
    weigh(player, setbacks, Conflict("no", status=409))
    assert player.steps == []
    weigh(player, setbacks, RateLimited("slow", status=429, retry_after=33))
    assert player.steps == ["pause 33"]
    weigh(player, setbacks, RateLimited("slow", status=429))
    assert player.steps == ["pause 20"]
    with pytest.raises(OutcomeUncertain, match="whether it succeeded to add a line: reset"):
        weigh(player, setbacks, NoAnswer("reset"))
    with pytest.raises(Conflict):
        weigh(player, setbacks, Conflict("no", status=409))


def test_a_server_that_does_not_say_how_long_is_left_alone_longer_each_time() -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    for seconds in (10, 20, 40, 60, 60):
        weigh(player, setbacks, RateLimited("slow", status=429))
        assert player.steps == [f"pause {seconds}"]
    with pytest.raises(RateLimited):
        weigh(player, setbacks, RateLimited("slow", status=429))


@pytest.mark.parametrize("error", [ConnectionFailed("no route"), TokenUnavailable("no token")])
def test_a_server_that_cannot_be_reached_is_waited_for(error: TfsoHypatosError) -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    for seconds in (10, 20, 40, 60, 60):
        weigh(player, setbacks, error)
        assert player.steps == [f"pause {seconds}"]
    with pytest.raises(type(error)):
        weigh(player, setbacks, error)


def test_whoever_gets_on_may_have_setbacks_again() -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    for _ in range(20):
        weigh(player, setbacks, RateLimited("slow", status=429))
        assert player.steps == ["pause 10"]
        setbacks.succeeded()


def test_setbacks_that_another_look_cannot_help_are_raised() -> None:
    player = Player()
    for error in (BadRequest("bad", status=400), PermissionDenied("no", status=403), NoRoom("x")):
        with pytest.raises(type(error)):
            weigh(player, Setbacks(TIMING), error)
    with pytest.raises(RateLimited):
        weigh(player, Setbacks(TIMING), RateLimited("slow", status=429, retry_after=181))


class NoRoom(TfsoHypatosError):
    pass


def test_a_server_too_slow_for_the_settle_time_is_told_as_such_and_may_pass() -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    for _ in range(20):
        weigh(player, setbacks, NotSent("old"))
    setbacks.succeeded()
    for _ in range(20):
        weigh(player, setbacks, NotSent("old"))
    with pytest.raises(OrderBusy) as raised:
        weigh(player, setbacks, NotSent("old"))
    assert str(raised.value) == (
        "24SevenOffice takes longer to answer than the 2.5 s for which a look at an order is good, so it cannot safely "
        "add a line. Retry later, or raise settle_seconds in the connection, for all tasks."
    )
    assert not raised.value.permanent
    assert not raised.value.ambiguous
