"""A server that answers at once: an order, a token, a record, and nothing more. It is not what is measured.

python tests/benchmarks/stub.py     prints its port, and answers until it is ended
"""

from __future__ import annotations

import asyncio
import json

ORDER_ID = 1001
ORDER = {
    "id": ORDER_ID,
    "status": "Draft",
    "date": "2026-01-31",
    "currency": {"code": "NOK", "rate": 1},
    "customer": {
        "id": 42,
        "name": "Bjørn Ås Rørleggerservice AS",
        "street": "Grünerløkka 12 B",
        "postalCode": "0552",
        "postalArea": "Oslo",
        "countryCode": "NO",
        "invoiceEmailAddresses": ["faktura@bjornas.example"],
    },
    "referenceNumber": "PO-4711",
    "internalMemo": "af:1:5f2d3c0f9e8b7a61/web-10045",
    "createdAt": "2026-01-31T08:15:15.998Z",
    "modifiedAt": "2026-01-31T08:15:15.998Z",
    "netAmount": 2674.47,
    "taxAmount": 668.62,
    "grossAmount": 3343.09,
}
TOKEN = {"access_token": "a" * 800, "token_type": "Bearer", "expires_in": 86400}


def _answer(value: object) -> bytes:
    body = json.dumps(value, ensure_ascii=False).encode()
    head = (
        "HTTP/1.1 200 OK\r\n"
        "Date: Sat, 31 Jan 2026 08:15:16 GMT\r\n"
        "X-Trace-Id: trace-00000003\r\n"
        "Access-Control-Allow-Origin: *\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Answering(asyncio.Protocol):
    """Gives the same order to every GET, a token to every POST, and to every PATCH the record that it names."""

    order = _answer(ORDER)
    token = _answer(TOKEN)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        """Answer whatever has come as a whole."""
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            head, _, rest = self._unread.partition(b"\r\n\r\n")
            size = 0
            if not head.startswith(b"GET"):
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                size = int(lengths[0].partition(b":")[2]) if lengths else 0
            if len(rest) < size:
                return
            self._unread = rest[size:]
            self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        method, path, _ = head.split(b" ", 2)
        if method == b"PATCH":
            return _answer({"externalId": path.rpartition(b"/")[2].decode()})
        return self.token if method == b"POST" else self.order


async def serve() -> None:
    """Answer for ever."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
