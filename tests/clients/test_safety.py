from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tfso_hypatos.clients import tfso, tfso_lists
from tfso_hypatos.clients.messages import Flow, Request, ask
from tfso_hypatos.clients.token import TOKENS, Token
from tfso_hypatos.exceptions import ConnectionFailed, NoAnswer, TfsoHypatosError, UnexpectedResponse
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import SalesOrderCreate

if TYPE_CHECKING:
    from tests.conftest import Driver, Log, Reply, Script, Services

ORDER = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("creating", [False, True], ids=["read", "create"])
def test_a_redirect_is_not_followed_and_the_bearer_stays_here(
    driver: Driver, script: Script, other_host: Script, reply: type[Reply], status: int, creating: bool
) -> None:
    script.gives(lambda _: reply(status, b"", [("Location", f"{other_host.url}/v1/salesorders/7")]))
    with pytest.raises(UnexpectedResponse, match="redirects are not followed"):
        driver.run(script.service(), tfso.create_sales_order(ORDER) if creating else tfso.get_sales_order(7))
    assert other_host.asked == []
    assert not creating or len(script.calls()) == 1


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login intruder password stolen\ndefault login intruder password stolen\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


@pytest.mark.usefixtures("netrc")
def test_a_netrc_on_this_machine_does_not_replace_the_bearer(driver: Driver, services: Services, log: Log) -> None:
    driver.trust_env = True
    driver.run(services.tfso(), tfso.create_sales_order(ORDER))
    assert log.sent()[0]["headers"]["authorization"].startswith("Bearer ")
    assert "authorization" not in log.token_requests[0]["headers"]


@pytest.mark.usefixtures("netrc")
def test_a_netrc_on_this_machine_does_not_replace_the_basic_of_a_token_request(
    driver: Driver, services: Services, log: Log
) -> None:
    driver.trust_env = True
    with pytest.raises(TfsoHypatosError, match="404"):
        driver.run(services.hypatos(), tfso_lists.list_page(tfso_lists.SalesOrderFilter()))
    assert log.token_requests[0]["status"] == 200


@pytest.mark.parametrize("kind", ["explicit", "environment"])
def test_requests_go_through_a_proxy(
    driver: Driver, script: Script, reply: type[Reply], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    script.gives(lambda _: reply(body=b'{"id":7}'))
    if kind == "explicit":
        driver.options["proxy"] = script.url
    else:
        driver.trust_env = True
        monkeypatch.setenv("http_proxy", script.url)
    service = script.service(base_url="http://api.example.com/v1", token_url="http://login.example.com/token")
    assert driver.run(service, tfso.get_sales_order(7)).id == 7
    assert [asked.path for asked in script.asked] == [
        "http://login.example.com/token",
        "http://api.example.com/v1/salesorders/7",
    ]


def test_a_proxy_that_breaks_after_it_got_the_request_leaves_the_outcome_unclear(
    driver: Driver, script: Script, reply: type[Reply]
) -> None:
    script.gives(lambda _: reply(drop=True))
    driver.options["proxy"] = script.url
    service = script.service(base_url="http://api.example.com/v1", token_url="http://login.example.com/token")
    with pytest.raises(NoAnswer, match="may have been carried out"):
        driver.run(service, tfso.create_sales_order(ORDER))
    assert len(script.calls()) == 1


def test_a_proxy_that_cannot_be_reached_means_that_nothing_was_sent(
    driver: Driver, services: Services, free_port_url: str, log: Log
) -> None:
    TOKENS.put(services.tfso().credentials, Token("t", float("inf")))
    driver.options["proxy"] = free_port_url
    with pytest.raises(ConnectionFailed):
        driver.run(services.tfso(), tfso.create_sales_order(ORDER))
    assert log.sent() == []


def test_a_connection_that_was_kept_open_too_long_does_not_double_a_creation(
    driver: Driver, script: Script, reply: type[Reply]
) -> None:
    # The server drops every second request on the connection, as one does whose keep-alive just ended.
    script.gives(lambda _: reply(drop=len(script.calls()) == 2, body=b'{"id":7}'))
    with pytest.raises(NoAnswer):
        driver.run_all(script.service(), [tfso.create_sales_order(ORDER), tfso.create_sales_order(ORDER)])
    assert len(script.calls()) == 2


class TlsServer:
    """Takes one request over TLS and breaks the encrypted connection instead of answering."""

    def __init__(self, certificate: Path) -> None:
        self.got: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while not self._stopping:
            try:
                raw, _ = self._listener.accept()
            except TimeoutError:
                continue
            with raw:
                self._break(raw)

    def _break(self, raw: socket.socket) -> None:
        raw.settimeout(1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        got = b""
        handshaken = False
        while b"}" not in got:
            try:
                if not handshaken:
                    tls.do_handshake()
                    handshaken = True
                else:
                    got += tls.read(65536)
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                data = raw.recv(65536)
                if not data:
                    return
                incoming.write(data)
            except ssl.SSLError:
                return
        self.got.append(got)
        raw.sendall(outgoing.read() + b"this is no TLS record at all")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join()
        self._listener.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def tls(certificate: Path) -> Iterator[TlsServer]:
    with TlsServer(certificate) as server:
        yield server


def test_a_certificate_that_is_not_trusted_means_that_nothing_was_sent(
    driver: Driver, services: Services, tls: TlsServer
) -> None:
    service = services.tfso(base_url=tls.url)
    with pytest.raises(ConnectionFailed, match="certificate verify failed"):
        driver.run(service, tfso.create_sales_order(ORDER))
    assert tls.got == []


def test_an_encrypted_connection_that_breaks_after_the_request_leaves_the_outcome_unclear(
    driver: Driver, services: Services, tls: TlsServer, certificate: Path
) -> None:
    def trusting() -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(certificate)))

    driver.verify, driver.connector = str(certificate), trusting
    with pytest.raises(TfsoHypatosError) as caught:
        driver.run(services.tfso(base_url=tls.url), tfso.create_sales_order(ORDER))
    assert len(tls.got) == 1
    assert b"POST /salesorders" in tls.got[0]
    assert caught.value.ambiguous


def test_a_header_of_the_caller_cannot_replace_the_bearer(services: Services, driver: Driver, log: Log) -> None:
    flow: Flow[Any] = ask(Request("GET", "/salesorders", "list", headers={"Authorization": "Basic x"}))
    driver.run(services.tfso(), flow)
    assert log.sent()[0]["headers"]["authorization"].startswith("Bearer ")
