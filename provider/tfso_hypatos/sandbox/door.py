"""The listening socket, which can be closed for a while."""

from __future__ import annotations

import socket

from aiohttp import web

_WAITING_CONNECTIONS = 512


class Door:
    """Where clients connect; it can be shut for a while.

    While it is shut the port is given to nobody who asks for a free one; whoever asks for this very one may get it.

    :param host: loopback address.
    :param port: port; 0 picks a free one.
    :raises OSError: the port is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Found out first: with a shared port two sandboxes could listen on the same one.
        with socket.create_server((host, port), family=self._family) as probe:
            self._address = probe.getsockname()
        self._reserved = self._bind()
        self._site: web.SockSite | None = None
        self._absences = 0
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._address[1]}"

    async def open(self, runner: web.AppRunner) -> None:
        """Listen, unless another absence has not ended yet.

        :param runner: answers.
        """
        self._absences = max(0, self._absences - 1)
        if self._site is not None or self._absences:
            return
        listener = self._bind()
        listener.listen(_WAITING_CONNECTIONS)
        self._site = web.SockSite(runner, listener)
        await self._site.start()

    async def shut(self) -> None:
        """Refuse new connections; those that are open stay open."""
        self._absences += 1
        site, self._site = self._site, None
        if site is not None:
            await site.stop()

    def close(self) -> None:
        """Give the port back."""
        self._reserved.close()

    def _bind(self) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(self._address)
        except OSError:
            bound.close()
            raise
        return bound
