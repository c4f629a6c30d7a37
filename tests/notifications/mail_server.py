"""A mail server on loopback, which keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from socketserver import StreamRequestHandler, ThreadingTCPServer


class MailServer(ThreadingTCPServer):
    """Takes every mail, as RFC 5321 says.

    :param refuses: it takes none.
    """

    daemon_threads = True

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.refuses = refuses
        self.mails: list[EmailMessage] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Session(StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._answer("220 loopback")
        while line := self.rfile.readline():
            command = line[:4].upper().strip()
            if command == b"DATA":
                self._answer("354 go on")
                self.server.mails.append(self._read_mail())
            if command == b"RCPT" and self.server.refuses:
                self._answer("550 nobody here")
            elif command == b"QUIT":
                self._answer("221 bye")
                return
            else:
                self._answer("250 ok")

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def _read_mail(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        return mail


@contextmanager
def mail_server(*, refuses: bool = False) -> Iterator[MailServer]:
    """Run a mail server meanwhile."""
    with MailServer(refuses=refuses) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
