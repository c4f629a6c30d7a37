"""Hands a message to notifiers and functions, synchronous or not, from where an event loop runs and from elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeGuard

from airflow.sdk.bases.notifier import BaseNotifier

from tfso_hypatos.exceptions import InvalidInput, Problem

Deliver: TypeAlias = Callable[..., Any]
"""Another notifier, or a function, which may be asynchronous: called with the context, as Airflow calls a callback."""

_ONE = "a notifier or a function, made to be called with the context"


def receivers_of(deliver: Deliver | Sequence[Deliver] | None) -> tuple[Deliver, ...]:
    """Return who is told.

    :param deliver: a notifier or a function, or a sequence of them; None: nobody.
    :raises InvalidInput: if something in it can deliver nothing.
    """
    if deliver is None:
        return ()
    if _can_deliver(deliver):
        return (deliver,)
    if isinstance(deliver, str | bytes) or not isinstance(deliver, Sequence):
        raise InvalidInput([Problem("deliver", f"{_ONE}, or a list of them")])
    problems = [Problem(f"deliver[{index}]", _ONE) for index, each in enumerate(deliver) if not _can_deliver(each)]
    if problems:
        raise InvalidInput(problems)
    return tuple(deliver)


def _can_deliver(deliver: Any) -> TypeGuard[Deliver]:
    # The class of a notifier, called with a context, makes a notifier and tells nobody.
    is_class = isinstance(deliver, type) and issubclass(deliver, BaseNotifier)
    # A generator function, called, has not yet done anything, and nobody would go on with it.
    is_generator = inspect.isgeneratorfunction(deliver) or inspect.isasyncgenfunction(deliver)
    return callable(deliver) and not is_class and not is_generator


def deliver_now(deliver: Deliver, context: Any) -> None:
    """Hand a message to one receiver, and return when it has it.

    :param deliver: the receiver.
    :param context: of the callback, with the message.
    """
    if isinstance(deliver, BaseNotifier) and not _overrides(deliver, "notify"):
        _finish(_awaited(deliver, context))
    else:
        answer = _fresh(deliver)(context)
        if inspect.isawaitable(answer):
            _finish(answer)


async def deliver_soon(deliver: Deliver, context: Any) -> None:
    """Hand a message to one receiver without blocking the event loop.

    :param deliver: the receiver.
    :param context: of the callback, with the message.
    """
    if isinstance(deliver, BaseNotifier) and _overrides(deliver, "async_notify"):
        await _awaited(deliver, context)
        return
    answer = deliver(context) if _is_coroutine(deliver) else await asyncio.to_thread(_fresh(deliver), context)
    if inspect.isawaitable(answer):
        await answer


def _overrides(notifier: BaseNotifier, method: str) -> bool:
    """Say whether a notifier can be used in this way: Airflow's own methods only raise an error."""
    return getattr(type(notifier), method) is not getattr(BaseNotifier, method)


def _is_coroutine(deliver: Deliver) -> bool:
    return inspect.iscoroutinefunction(deliver) or inspect.iscoroutinefunction(getattr(deliver, "__call__", None))  # noqa: B004 - it is callable; this asks of what kind


def _fresh(deliver: Deliver) -> Deliver:
    # A notifier renders its templates once and for all: without a copy the next order would get the text of this one.
    return copy.copy(deliver) if isinstance(deliver, BaseNotifier) else deliver


async def _awaited(notifier: BaseNotifier, context: Any) -> None:
    fresh = copy.copy(notifier)
    fresh.context = context
    await fresh


def _finish(awaitable: Awaitable[Any]) -> None:
    """Run it to its end; in a thread of its own where a loop is running already."""

    async def finish() -> None:
        await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(finish())
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(contextvars.copy_context().run, asyncio.run, finish()).result()
