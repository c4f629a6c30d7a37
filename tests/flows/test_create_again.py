"""A later try: the creation of an earlier one, killed on its way, may still arrive."""

from __future__ import annotations

from tests.flows.player import ME, RETRY, RIVAL, TIMING, Player, intent
from tests.flows.runs import LINES, ORGANIZATION

from tfso_hypatos.flows.create import Created, find_or_create


def create(player: Player, *, again: bool) -> Created:
    player.steps.clear()
    return player.drive(find_or_create(intent(holder=RETRY), TIMING, ORGANIZATION, again=again))


def test_a_later_try_that_finds_nothing_settles_and_looks_again_before_it_creates() -> None:
    player = Player()
    assert create(player, again=True).created
    assert player.steps[:4] == ["GET /salesorders", "pause 10", "GET /salesorders", "POST /salesorders"]


def test_the_order_of_an_earlier_try_that_arrives_meanwhile_is_adopted() -> None:
    player = Player()
    player.later(7.0, lambda: player.make_order(ME))
    created = create(player, again=True)
    assert not created.created
    assert player.count("POST /salesorders") == 0
    assert len(created.line_ids) == len(LINES)


def test_a_later_try_that_finds_several_settles_and_looks_again_before_it_elects_one() -> None:
    player = Player()
    earliest, other = player.make_order(ME), player.make_order(RIVAL)
    # What the earlier try sent to withdraw the one that wins the election now.
    player.later(7.0, lambda: player.delete(earliest))
    created = create(player, again=True)
    assert player.steps[:3] == ["GET /salesorders", "pause 10", "GET /salesorders"]
    assert created.order.id == other
    assert set(player.server.orders) == {other}


def test_a_first_try_that_finds_several_elects_one_at_once() -> None:
    player = Player()
    earliest, _ = player.make_order(RETRY), player.make_order(RIVAL)
    assert create(player, again=False).order.id == earliest
    assert not [step for step in player.steps if step.startswith("pause")]


def test_a_later_try_that_finds_the_order_does_not_wait() -> None:
    player = Player()
    player.make_order(ME, LINES)
    assert not create(player, again=True).created
    assert not [step for step in player.steps if step.startswith("pause")]
