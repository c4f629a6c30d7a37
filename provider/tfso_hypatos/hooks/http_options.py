"""The HTTP options that users of Airflow's HTTP connections know, for both HTTP libraries."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import requests

from tfso_hypatos.hooks.settings import Settings
from tfso_hypatos.words import truth_of


@dataclass(frozen=True)
class HttpOptions:
    """Proxies and TLS options of a connection; nothing else of its extra reaches a session, headers least of all.

    :param verify: check the server's certificate; or the path of a file with the accepted authorities.
    :param cert: path of a client certificate, or of certificate and key.
    :param proxies: proxy URL for each scheme.
    :param trust_env: take proxies and authorities from the environment too.
    """

    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    proxies: Mapping[str, str] | None = None
    trust_env: bool = True

    @classmethod
    def read(cls, settings: Settings) -> HttpOptions:
        """Read the options of a connection.

        :raises ConfigurationError: naming the extra field that is wrong.
        """
        return cls(
            verify=_verify(settings),
            cert=_cert(settings),
            proxies=_proxies(settings),
            trust_env=settings.flag("trust_env", default=True),
        )

    def configure(self, session: requests.Session) -> None:
        """Set the options on a session of ``requests``."""
        session.verify = self.verify
        session.cert = self.cert
        session.proxies = dict(self.proxies or {})
        session.trust_env = self.trust_env

    def session(self) -> aiohttp.ClientSession:
        """Return a session of ``aiohttp`` with the TLS options; the caller closes it."""
        # How many flows run at once is up to whoever runs them; one that waits for a connection would be late.
        connector = aiohttp.TCPConnector(ssl=self._ssl(), limit=0)
        # Not trust_env: the transport looks into the environment, and less often.
        return aiohttp.ClientSession(connector=connector)

    def request_options(self, url: str) -> dict[str, Any]:
        """Return what every request of ``aiohttp`` to a URL is sent with."""
        proxy = (self.proxies or {}).get(urlsplit(url).scheme)
        return {"proxy": proxy} if proxy else {}

    def _ssl(self) -> ssl.SSLContext | bool:
        if self.verify is True and self.cert is None:
            return True
        context = ssl.create_default_context(cafile=self.verify if isinstance(self.verify, str) else None)
        if self.verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if isinstance(self.cert, str):
            context.load_cert_chain(self.cert)
        elif self.cert is not None:
            context.load_cert_chain(*self.cert)
        return context


def _verify(settings: Settings) -> bool | str:
    name = "verify" if "verify" in settings.extra else "verify_ssl"
    value = settings.extra.get(name)
    if isinstance(value, str) and value and truth_of(value) is None:
        return _existing(settings, name, value)
    return settings.flag(name, default=True)


def _existing(settings: Settings, name: str, path: str) -> str:
    if not Path(path).exists():
        raise settings.wrong(name, f"names a file that is not there: {path}")
    return path


def _cert(settings: Settings) -> str | tuple[str, str] | None:
    match settings.extra.get("cert"):
        case None | "":
            return None
        case str() as path:
            return _existing(settings, "cert", path)
        case [str() as certificate, str() as key]:
            return _existing(settings, "cert", certificate), _existing(settings, "cert", key)
        case _:
            raise settings.wrong("cert", "must be a path, or a list of two: certificate and key")


def _proxies(settings: Settings) -> dict[str, str] | None:
    name = "proxies" if "proxies" in settings.extra else "proxy"
    match settings.extra.get(name):
        case None | "":
            return None
        case str() as url:
            return {"http": url, "https": url}
        case dict() as proxies if all(isinstance(url, str) for url in proxies.values()):
            return {str(scheme): url for scheme, url in proxies.items()}
        case _:
            raise settings.wrong(name, "must be a URL, or an object with a URL for each scheme")
