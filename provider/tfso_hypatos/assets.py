"""Assets for DAGs that start when this provider has done something, or when an invoice is posted.

An operator announces what it did only if its task asks for it, by an outlet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias

from tfso_hypatos.asset_uris import hypatos_sales_order_uri, sales_order_uri
from tfso_hypatos.exceptions import InvalidInput, Problem

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from tfso_hypatos.hooks.settings import Settings

log = logging.getLogger(__name__)

CREATED_SALES_ORDERS = AssetAlias("tfso_created_sales_orders")
"""Outlet of tasks that create orders."""

INVOICED_SALES_ORDERS = AssetAlias("tfso_invoiced_sales_orders")
"""Outlet of tasks that invoice orders."""

POSTED_SALES_ORDERS = AssetAlias("tfso_posted_sales_orders")
"""Outlet of sensors that wait until an invoice is posted."""

ENRICHED_SALES_ORDERS = AssetAlias("hypatos_enriched_sales_orders")
"""Outlet of tasks that write orders into Hypatos."""

TOLD = ("sales_order_id", "status", "invoice_number", "transaction_id", "external_id", "outcome")
"""Members of a task's result that an event tells: ids and states."""

MOST_IDS = 1000
"""Ids that the event of a batch lists."""


def announce(
    context: Context, task: BaseOperator, alias: AssetAlias, settings: Settings, result: Mapping[str, Any]
) -> None:
    """Announce what a task did with one order, if it declares an outlet for it; never fails.

    :param context: of the running task.
    :param task: the task.
    :param alias: what it did.
    :param settings: the connection that it did it on.
    :param result: the result of the task.
    """
    _announce(context, task, alias, settings, result, {name: result[name] for name in TOLD if name in result})


def announce_batch(
    context: Context,
    task: BaseOperator,
    alias: AssetAlias,
    settings: Settings,
    outcome: Mapping[str, Any] | Sequence[Mapping[str, Any]],
) -> None:
    """Announce what a task did with many orders, by one event, if it declares an outlet for it; never fails.

    :param context: of the running task.
    :param task: the task.
    :param alias: what it did.
    :param settings: the connection that it did it on.
    :param outcome: the results, or the counts and where the results are.
    """
    if not (outcome["total"] if isinstance(outcome, Mapping) else outcome):
        # A day without orders is no news, and must not start the DAGs that wait for some.
        return
    if isinstance(outcome, Mapping):
        extra = dict(outcome)
    else:
        extra = {"total": len(outcome)}
        for name in _IDS:
            # Side by side, so that the ids of one order stand at the same place in both lists.
            ids = [result.get(name) for result in outcome[:MOST_IDS]]
            if any(each is not None for each in ids):
                extra[f"{name}s"] = ids
    _announce(context, task, alias, settings, {}, extra)


def _announce(
    context: Context,
    task: BaseOperator,
    alias: AssetAlias,
    settings: Settings,
    order: Mapping[str, Any],
    extra: dict[str, Any],
) -> None:
    try:
        extra = {**_whose(settings), **extra}
        for outlet in task.outlets:
            if isinstance(outlet, AssetAlias) and outlet.name == alias.name:
                context["outlet_events"][outlet].add(_asset(settings, order), extra=extra)
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(extra)
    except Exception:
        # The order is billed by now: nothing that is only told of it may fail the task.
        log.warning("The asset events of this task could not be made", exc_info=True)


def _whose(settings: Settings) -> dict[str, str]:
    """Return whose the orders are: two organizations, or two companies, have orders of the same id."""
    organization = settings.extra.get("organization_id")
    if organization is not None:
        return {"organization_id": str(organization)}
    return {"scope": str(settings.extra.get("company_id") or settings.extra.get("region") or "eu")}


def _asset(settings: Settings, order: Mapping[str, Any]) -> Asset:
    whose = _whose(settings)
    if "organization_id" in whose:
        return Asset(uri=sales_order_uri(whose["organization_id"], order.get("sales_order_id")))
    return Asset(uri=hypatos_sales_order_uri(whose["scope"], order.get("external_id")))


_IDS = ("sales_order_id", "external_id")
"""Ids of an order; an event of a batch has a list of each."""

_NAMES = ("organization_id", "scope", *_IDS)
"""What an order is told apart by."""


def orders_of_events(context: Mapping[str, Any] | Context, asset: Asset | AssetAlias) -> list[dict[str, Any]]:
    """Return the orders that the asset events of a DAG run tell of, each once, for the task to be mapped over.

    Airflow merges events into one run, and leaves out those that came after the first of them and before the run was
    made: they would wait for the next event. So a task that has the asset among its ``inlets`` is given those, too,
    unless a later run of its DAG has them: a run that is cleared does not take what is that one's.
    The next run may be given the same order again.

    :param context: of the running task.
    :param asset: the asset, or the alias, that the DAG is scheduled on.
    :raises InvalidInput: if an event is that of a batch and does not list all of its orders: none is left out silently.
    """
    orders: dict[Any, dict[str, Any]] = {}
    for event in (*_triggering(context, asset), *_left_out(context, asset)):
        for order in _told(event.extra):
            orders[tuple(order.get(name) for name in _NAMES)] = order
    return list(orders.values())


def results_paths_of_events(context: Mapping[str, Any] | Context, asset: Asset | AssetAlias) -> list[str]:
    """Return where the batches wrote their results that the asset events of a DAG run tell of, each folder once.

    For a batch operator that is mapped over them as its ``path``. Takes events as :func:`orders_of_events` does.

    :param context: of the running task.
    :param asset: the asset, or the alias, that the DAG is scheduled on.
    """
    events = (*_triggering(context, asset), *_left_out(context, asset))
    return list(dict.fromkeys(str(event.extra["results_path"]) for event in events if event.extra.get("results_path")))


def _told(extra: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    told = extra["payload"] if extra.get("from_trigger") else extra
    if not isinstance(told, Mapping):
        return
    if any(name in told for name in _IDS):
        yield dict(told)
        return
    lists = _lists(told)
    _refuse_unlisted(told, max(map(len, lists.values()), default=None))
    whose = {name: told[name] for name in ("organization_id", "scope") if name in told}
    for ids in zip(*lists.values(), strict=True):
        yield {**whose, **{name: each for name, each in zip(lists, ids, strict=True) if each is not None}}


def _lists(told: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the ids that an event lists, in lists that match: of two that do not, the one with all orders."""
    lists = {name: ids for name in _IDS if isinstance(ids := told.get(f"{name}s"), list)}
    if len({len(ids) for ids in lists.values()}) <= 1:
        return lists
    whole = {name: ids for name, ids in lists.items() if len(ids) == told.get("total")}
    if not whole:
        rule = "it cannot be told which ids belong to one order: it lists more of one kind than of the other"
        raise InvalidInput([Problem("asset event of a batch", rule)])
    return whole


def _refuse_unlisted(told: Mapping[str, Any], listed: int | None) -> None:
    total, path = told.get("total"), told.get("results_path")
    if not isinstance(total, int) or total <= (listed or 0) or (listed is None and not path):
        return
    if path:
        rule = (
            f"its {total} orders are not listed but written to {path}: give that path to a batch operator "
            "(results_paths_of_events)"
        )
    else:
        rule = (
            f"it lists {listed} ids of {total} orders: let the batch write its results (results_path), and give that "
            "path to a batch operator (results_paths_of_events)"
        )
    raise InvalidInput([Problem("asset event of a batch", rule)])


def _triggering(context: Mapping[str, Any] | Context, asset: Asset | AssetAlias) -> Iterable[Any]:
    try:
        events: Iterable[Any] = context["triggering_asset_events"][asset]
    except KeyError:
        # A run that was started by hand has none.
        return ()
    return events


def _left_out(context: Mapping[str, Any] | Context, asset: Asset | AssetAlias) -> Iterable[Any]:
    try:
        events = context["inlet_events"][asset]
    except KeyError:
        return ()
    run = context["dag_run"]
    try:
        later = list(events.after(run.run_after.isoformat()))
    except Exception:
        # Airflow 3.3.2 cannot say which runs an event has started while one of them has not begun (status 500).
        log.warning(
            "The events that came after this run cannot be listed now; if a run that was given one of them is still "
            "queued, a retry succeeds once it has begun"
        )
        raise
    return [event for event in later if not _has_another(run, event.created_dagruns)]


def _has_another(run: Any, others: Iterable[Any]) -> bool:
    """Say whether an event was given to another run of the same DAG: to a later one, for it came after this one."""
    return any(other.dag_id == run.dag_id and other.run_id != run.run_id for other in others)
