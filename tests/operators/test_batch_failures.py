"""Orders of a batch that fail: the others go on, unless every one of them would fail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operators.batches import creating, failing, item, items

from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    BatchFailed,
    OrderBusy,
    OutcomeUncertain,
    PermissionDenied,
    ServerError,
)
from tfso_hypatos.operators.batch.sources import ListSource, shuffled

if TYPE_CHECKING:
    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run


pytestmark = pytest.mark.usefixtures("connections")


def test_one_order_that_fails_does_not_stop_the_others(run: Run, log: Log) -> None:
    log.sandbox.configure(known_customers=[42])
    wrong = item(3)
    wrong["order"]["customer"]["id"] = 43
    with pytest.raises(BatchFailed, match=r"1 of 4 orders failed; 3 are done \(1 × BadRequest\)\. web-3: ") as caught:
        run.execute(creating([item(1), item(2), wrong, item(4)]))
    assert caught.value.permanent
    assert [failure.order for failure in caught.value.failures] == ["web-3"]
    assert len(log.orders) == 3


def test_the_nouns_and_verbs_of_a_batch_agree_with_their_counts(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    failing(monkeypatch, DENIED, "web-1")
    with pytest.raises(BatchFailed, match=r"^1 of 3 orders failed; 1 is done, 1 repeats another one \("):
        run.execute(creating([item(1), item(2), item(2)]))
    failing(monkeypatch, OrderBusy("busy"), "web-1")
    with pytest.raises(BatchFailed, match=r"^1 of 1 order failed; 0 are done \("):
        run.execute(creating(items(1)))
    assert "0 of 1 order done, 1 failed, 0 skipped" in caplog.text
    failing(monkeypatch, AuthenticationFailed("changed", status=401), "web-2")
    with pytest.raises(AuthenticationFailed, match=r"^1 of 2 orders is done, 0 failed, 1 was not tried to the end\. "):
        run.execute(creating([item(3), item(2)], concurrency=1))
    monkeypatch.setattr("tfso_hypatos.operators.batch.account.FIRST_IN_A_ROW", 1)
    failing(monkeypatch, ServerError("down", status=500), "web-3")
    with pytest.raises(BatchFailed, match=r"^1 of 2 orders failed, 1 was not tried; 0 are done \("):
        run.execute(creating([item(3), item(4)], concurrency=1))


def test_what_repeats_an_order_that_failed_is_not_called_done(run: Run, log: Log) -> None:
    log.sandbox.configure(known_customers=[42])
    wrong = item(2)
    wrong["order"]["customer"]["id"] = 43
    with pytest.raises(BatchFailed, match=r"1 of 4 orders failed; 1 is done, 2 repeat others \("):
        run.execute(creating([item(1), wrong, wrong, wrong]))


def test_a_refused_secret_ends_the_batch_at_once(run: Run, log: Log, connections: Connections) -> None:
    connections.tfso(password="feil")
    with pytest.raises(AuthenticationFailed):
        run.execute(creating(items(30), concurrency=2))
    assert log.sent() == []
    assert len(log.token_requests) <= 2


@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_missing_scope_ends_the_batch_after_three_orders(run: Run, log: Log, count: int) -> None:
    log.sandbox.configure(missing_scopes=["api.invoicing.salesorder:write"])
    with pytest.raises(PermissionDenied):
        run.execute(creating(items(count), concurrency=1))
    assert len(log.sent("POST")) == min(count, 3)


def test_an_error_that_ends_the_batch_says_how_far_it_came(run: Run, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, AuthenticationFailed("the secret was changed", status=401), "web-3")
    with pytest.raises(
        AuthenticationFailed, match=r"^2 of 4 orders are done, 0 failed, 2 were not tried to the end\. the secret"
    ) as caught:
        run.execute(creating(items(4), concurrency=1))
    assert (caught.value.permanent, caught.value.status) == (True, 401)
    assert len(log.orders) == 2


DENIED = PermissionDenied("this order is another department's", status=403)


@pytest.mark.parametrize("denied", ["web-1", "web-3", "web-6"])
def test_an_order_that_is_denied_does_not_stop_the_others(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    failing(monkeypatch, DENIED, denied)
    with pytest.raises(BatchFailed, match=r"1 of 6 orders failed; 5 are done \(1 × PermissionDenied\)") as caught:
        run.execute(creating(items(6), concurrency=1))
    assert caught.value.permanent
    assert len(log.orders) == 5


def test_orders_that_are_denied_after_others_were_done_do_not_end_the_batch(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing(monkeypatch, DENIED, "web-2", "web-3", "web-4", "web-5")
    operator = creating(items(7), concurrency=1, results_path=str(tmp_path))
    for try_number in (1, 2):
        with pytest.raises(BatchFailed, match="4 of 7 orders failed; 3 are done"):
            run.execute(operator, try_number=try_number)


def test_an_error_that_nobody_thought_of_is_that_of_one_order(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, KeyError("surprise"), "web-1")
    with pytest.raises(BatchFailed, match=r"1 of 6 orders failed; 5 are done \(1 × KeyError\)\. web-1: ") as caught:
        run.execute(creating(items(6), concurrency=3))
    assert not caught.value.permanent
    assert len(log.orders) == 5
    assert any(record.exc_info for record in caplog.records)


def test_a_service_that_is_down_is_not_asked_for_every_order(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.account.FIRST_IN_A_ROW", 3)
    log.sandbox.add_fault(action="status_before", status=500, method="POST", path="/salesorders$", times=1000)
    with pytest.raises(BatchFailed, match="were not tried; 0 are done") as caught:
        run.execute(creating(items(40), concurrency=2))
    assert not caught.value.permanent
    assert len(log.sent("POST")) <= 5


def test_a_service_that_goes_down_later_is_not_asked_for_every_order(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.account.LAST_IN_A_ROW", 4)
    log.sandbox.add_fault(action="status_before", status=500, method="POST", path="/salesorders$", skip=5, times=1000)
    with pytest.raises(BatchFailed, match="were not tried; 5 are done"):
        run.execute(creating(items(40), concurrency=2))
    assert len(log.orders) == 5


@pytest.mark.parametrize("error", [OrderBusy("busy"), OutcomeUncertain("?"), KeyError("surprise"), DENIED])
def test_orders_that_fail_of_themselves_do_not_stand_for_a_service_that_is_down(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, error, *(f"web-{number}" for number in range(2, 56)))
    with pytest.raises(BatchFailed, match="54 of 58 orders failed; 4 are done"):
        run.execute(creating(items(58), concurrency=1))
    assert len(log.orders) == 4


def test_what_the_service_left_open_stands_for_a_service_that_is_down(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OutcomeUncertain("?")
    error.__cause__ = ServerError("down", status=500)
    failing(monkeypatch, error, *(f"web-{number}" for number in range(1, 59)))
    with pytest.raises(BatchFailed, match="20 of 58 orders failed, 38 were not tried"):
        run.execute(creating(items(58), concurrency=1))


def test_orders_that_always_fail_do_not_keep_a_retry_from_those_behind_them(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, ServerError("on this one", status=500), *(f"web-{number}" for number in range(1, 36)))
    with pytest.raises(BatchFailed, match="20 of 80 orders failed, 60 were not tried"):
        run.execute(creating(items(80), concurrency=1))
    with pytest.raises(BatchFailed, match="35 of 80 orders failed; 45 are done"):
        run.execute(creating(items(80), concurrency=1), try_number=2)
    assert len(log.orders) == 45


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
def test_items_in_another_order_are_the_same_items(count: int) -> None:
    entries = list(ListSource(range(count)))
    assert sorted(shuffled(entries, 8)) == entries
    assert list(shuffled(entries, 8)) != entries or count < 100
