"""How many task instances Airflow maps a list over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.configuration import conf

from tfso_hypatos.exceptions import InvalidInput, Problem

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context


def most_mapped() -> int:
    """Return how many task instances Airflow maps a list over at most."""
    return int(conf.getint("core", "max_map_length", fallback=1024))


def refuse_unmappable(task: BaseOperator, context: Context, count: int) -> None:
    """Refuse a list that a later task is mapped over and that is too long for it, before anything is done.

    Airflow would refuse it, too, but only once the task is through.

    :param task: the task whose results are mapped over.
    :param context: of the running task.
    :param count: how many results it will have.
    :raises InvalidInput: if they are too many.
    """
    instance = context.get("ti")
    # What the instances of a mapped task return is not mapped over one by one.
    if count <= most_mapped() or task.get_dag() is None or getattr(instance, "map_index", None) not in (None, -1):
        return
    if next(task.iter_mapped_dependants(), None) is not None:
        rule = (
            f"{count} orders, and a later task is mapped over their results: Airflow takes {most_mapped()} at most "
            "([core] max_map_length). Give fewer orders, or raise that setting"
        )
        raise InvalidInput([Problem("orders", rule)])
