"""What the two HTTP libraries raise becomes our errors: was the request sent, or certainly not?"""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import aiohttp
import requests
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError, SSLError

from tfso_hypatos.clients.messages import Request
from tfso_hypatos.exceptions import ConnectionFailed, NoAnswer, TfsoHypatosError, TimedOut


def requests_error(service: str, request: Request, url: str, error: requests.RequestException) -> TfsoHypatosError:
    """Return our error for one of ``requests``."""
    if _never_connected(error):
        return _not_connected(service, request, url, _reason(error))
    if isinstance(error, requests.Timeout):
        return TimedOut(f"{service} did not answer the request to {request.doing} in time")
    return NoAnswer(
        f"the connection to {service} broke during the request to {request.doing} ({type(error).__name__}), "
        "which may have been carried out"
    )


def _never_connected(error: requests.RequestException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(reason, SSLError):
        # A broken record may be one of the answer; only a refused certificate is certain to come before the request.
        return isinstance(reason.args[0] if reason.args else None, ssl.SSLCertVerificationError)
    if isinstance(reason, ProxyError):
        # The same error as for a proxy that broke after it got the request.
        reason = reason.original_error
        if str(reason).startswith("Tunnel connection failed"):
            return True
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _reason(error: requests.RequestException) -> str:
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    return str(reason).split(": ", 1)[-1] if reason else type(error).__name__


def aiohttp_error(service: str, request: Request, url: str, error: Exception) -> TfsoHypatosError:
    """Return our error for one of ``aiohttp``."""
    if isinstance(error, aiohttp.InvalidURL):
        return ConnectionFailed(f"{service} cannot be reached to {request.doing}: its URL is not valid")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError | aiohttp.ClientSSLError):
        return _not_connected(service, request, url, str(error))
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _not_connected(service, request, url, "no connection in time")
    if isinstance(error, TimeoutError):
        return TimedOut(f"{service} did not answer the request to {request.doing} in time")
    return NoAnswer(
        f"the connection to {service} broke during the request to {request.doing} ({type(error).__name__}), "
        "which may have been carried out"
    )


def _not_connected(service: str, request: Request, url: str, reason: str) -> ConnectionFailed:
    where = urlsplit(url)
    return ConnectionFailed(
        f"{service} cannot be reached at {where.scheme}://{where.netloc} to {request.doing}: {reason}"
    )
