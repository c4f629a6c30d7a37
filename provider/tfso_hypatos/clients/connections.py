"""Connections of ``requests`` that send nothing once it is too late for it.

Connecting can take long: a name is looked up, addresses are tried, TLS is agreed on. A request whose time is over when
the connection stands at last must not be sent on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Check(threading.local):
    """What is asked of this thread before it sends anything on a new connection."""

    call: Callable[[], None] | None = None


_check = _Check()


@contextmanager
def checked(check: Callable[[], None]) -> Iterator[None]:
    """Call a function whenever this thread has connected; what it raises reaches the caller of ``requests``.

    :param check: raises if nothing must be sent any more.
    """
    _check.call = check
    try:
        yield
    finally:
        _check.call = None


def guard(session: Session) -> None:
    """Let the connections of a session do what :func:`checked` asks for.

    :param session: the session; its adapters are changed.
    """
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            _guard(adapter)


def _guard(adapter: HTTPAdapter) -> None:
    _use_guarded_pools(adapter.poolmanager)
    make = adapter.proxy_manager_for

    def guarded(proxy: str, **options: Any) -> Any:
        manager = make(proxy, **options)
        # A SOCKS proxy needs connections of its own kind.
        if not proxy.lower().startswith("socks"):
            _use_guarded_pools(manager)
        return manager

    adapter.proxy_manager_for = guarded  # type: ignore[method-assign]


def _use_guarded_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = dict(_POOLS)


def _connected() -> None:
    if _check.call is not None:
        _check.call()


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _connected()


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _connected()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: Mapping[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}
