"""Files in request bodies."""

from __future__ import annotations

import email.policy
import re
from email.message import EmailMessage
from email.parser import BytesParser
from typing import NamedTuple

from tfso_hypatos.sandbox.messages import Call

_TOO_LARGE = 4 * 1024 * 1024
_NAME = re.compile(r'filename="?([^";]+)"?')


class File(NamedTuple):
    """A file that was sent: its name, its media type and its size."""

    name: str
    media_type: str
    size: int

    @property
    def is_too_large(self) -> bool:
        """The API takes files under 4 MB."""
        return self.size >= _TOO_LARGE


def read_attachment(call: Call) -> File | None:
    """Return the file a request carries, raw or as the first file of a form; None when there is none.

    :param call: the request.
    """
    if call.content_type == "multipart/form-data":
        return _in_form(call)
    if not call.body:
        return None
    return File(_name(call.headers.get("content-disposition", "")), call.content_type, len(call.body))


def _in_form(call: Call) -> File | None:
    head = f"Content-Type: {call.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(EmailMessage, policy=email.policy.HTTP).parsebytes(head + call.body)
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        if part.get_filename() and isinstance(content, bytes):
            return File(str(part.get_filename()), part.get_content_type(), len(content))
    return None


def _name(disposition: str) -> str:
    match = _NAME.search(disposition)
    return match[1] if match else "attachment"
