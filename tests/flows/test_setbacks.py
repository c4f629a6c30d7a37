from __future__ import annotations

import pytest
from tests.flows.player import TIMING, Player

from tfso_hypatos.exceptions import (
    BadRequest,
    Conflict,
    ConnectionFailed,
    Delay,
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
from tfso_hypatos.flows.setbacks import Setbacks


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


def held_back(delay: Delay) -> NotSent:
    """Return the error of a change that was held back after its flow had waited."""
    error = NotSent("old")
    error.not_after, error.delays = 1000.0, (Delay(990.0, 500.0, "nothing to do with it", True), delay)
    return error


def test_a_budget_too_small_for_the_settle_time_is_told_as_such() -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    reason = "requests_per_second of the connection (0.4) allows no more"
    error = held_back(Delay(998.0, 2.0, reason, False))
    for _ in range(20):
        weigh(player, setbacks, error)
    with pytest.raises(OrderBusy) as raised:
        weigh(player, setbacks, error)
    assert str(raised.value) == (
        "Requests wait longer for their turn in this process than the 2.5 s for which a look at an order is good "
        f"({reason}), so it cannot safely add a line. Let more requests be sent or fewer orders be at work at once, or "
        "raise settle_seconds in the connection, for all tasks."
    )


@pytest.mark.parametrize("delay", [Delay(997.4, 60.0, "before the look", True), Delay(1000.0, 1.0, "short", False)])
def test_a_budget_that_is_not_the_cause_is_not_blamed(delay: Delay) -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    for _ in range(20):
        weigh(player, setbacks, held_back(delay))
    with pytest.raises(OrderBusy, match="24SevenOffice takes longer to answer"):
        weigh(player, setbacks, held_back(delay))


def test_whoever_waits_for_an_allowance_that_is_used_up_is_more_patient_but_not_for_ever() -> None:
    player, setbacks = Player(), Setbacks(TIMING)
    error = held_back(Delay(4600.0, 3600.0, "requests_per_hour of the connection (100) is used up", True))
    for _ in range(100):
        weigh(player, setbacks, error)
    with pytest.raises(OrderBusy, match=r"requests_per_hour of the connection \(100\) is used up"):
        weigh(player, setbacks, error)
