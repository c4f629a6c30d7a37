from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from airflow.sdk import Connection

from tfso_hypatos.clients.budget import Limits
from tfso_hypatos.exceptions import ConfigurationError
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook

if TYPE_CHECKING:
    from tests.conftest import Connections


def tfso_url(connections: Connections, **fields: Any) -> str:
    connections.tfso(**fields)
    return TfsoHook().settings.url


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://rest.api.example.com/v1"}, "https://rest.api.example.com/v1"),
        ({"host": "https://rest.api.example.com/v1/"}, "https://rest.api.example.com/v1"),
        ({"host": "rest.api.example.com/v1"}, "https://rest.api.example.com/v1"),
        ({"host": "rest.api.example.com/v1", "schema": "http"}, "http://rest.api.example.com/v1"),
        ({"host": "rest.api.example.com/v1", "port": 8443}, "https://rest.api.example.com:8443/v1"),
        ({"host": "http://localhost/tfso/v1", "port": 8080}, "http://localhost:8080/tfso/v1"),
        ({"host": "http://localhost:1/tfso/v1", "port": 8080}, "http://localhost:8080/tfso/v1"),
        ({"host": "http://[::1]/v1", "port": 8080}, "http://[::1]:8080/v1"),
        ({"host": "http://[::1]:9/v1"}, "http://[::1]:9/v1"),
        ({"host": None}, "https://rest.api.24sevenoffice.com/v1"),
        ({"host": ""}, "https://rest.api.24sevenoffice.com/v1"),
    ],
)
def test_host_schema_and_port_make_the_api_url(connections: Connections, fields: dict[str, Any], url: str) -> None:
    assert tfso_url(connections, **fields) == url


@pytest.mark.parametrize(
    ("region", "host", "url"),
    [
        (None, None, "https://api.cloud.hypatos.ai/v2"),
        ("eu", None, "https://api.cloud.hypatos.ai/v2"),
        ("us", None, "https://api.cloud.hypatos.com/v2"),
        ("us", "https://api.dev.example/v2", "https://api.dev.example/v2"),
    ],
)
def test_the_region_chooses_the_url_of_hypatos_unless_a_host_is_given(
    connections: Connections, region: str | None, host: str | None, url: str
) -> None:
    connections.hypatos(host=host, extra={"region": region})
    assert HypatosHook().settings.url == url
    assert HypatosHook().service(HypatosHook().settings).credentials.token_url == f"{url}/auth/token"


def test_an_unknown_region_is_refused_with_those_there_are(connections: Connections) -> None:
    connections.hypatos(host=None, extra={"region": "moon"})
    with pytest.raises(ConfigurationError, match="extra field 'region' must be one of eu, us"):
        _ = HypatosHook().settings


def test_defaults_are_those_of_the_vendor(connections: Connections) -> None:
    connections.tfso(host=None, extra={"token_url": None, "settle_seconds": None, "timeout": None})
    hook = TfsoHook()
    service = hook.service(hook.settings)
    assert service.credentials.token_url == "https://login.24sevenoffice.com/oauth/token"
    assert service.credentials.audience == "https://api.24sevenoffice.com"
    assert service.timeout == 30
    assert hook.timing().settle == 10


def test_fields_of_the_connection_win_over_the_defaults(connections: Connections) -> None:
    connections.tfso(extra={"audience": "https://a.example", "timeout": "7.5", "settle_seconds": "3"})
    hook = TfsoHook()
    service = hook.service(hook.settings)
    assert (service.credentials.audience, service.timeout) == ("https://a.example", 7.5)
    assert hook.timing().settle == 3
    assert hook.timing(1.5).settle == 1.5


def test_limits_are_those_of_the_connection_or_none(connections: Connections) -> None:
    for hook in (TfsoHook(), HypatosHook()):
        assert hook.service(hook.settings).limits == Limits()
    given = {"requests_per_second": "0.5", "requests_per_hour": 7200}
    connections.tfso(extra=given)
    connections.hypatos(extra=given)
    for hook in (TfsoHook(), HypatosHook()):
        assert hook.service(hook.settings).limits == Limits(0.5, 7200)


def test_a_limit_that_is_too_low_says_how_low_it_may_be(connections: Connections) -> None:
    connections.tfso(extra={"requests_per_hour": 9})
    with pytest.raises(
        ConfigurationError, match="'requests_per_hour' must be 10 at least, or no order would be finish"
    ):
        TfsoHook().list_sales_orders()


@pytest.mark.parametrize("organization", ["100000000000001", 100000000000001])
def test_the_organization_may_have_become_a_number(connections: Connections, organization: Any) -> None:
    connections.tfso(extra={"organization_id": organization})
    assert TfsoHook().organization == "100000000000001"
    assert TfsoHook().list_sales_orders() == []


def test_a_connection_survives_a_uri(connections: Connections, sandbox: Any) -> None:
    def text(value: str) -> str:
        return quote(value, safe="")

    connections.text(
        "tfso_default",
        f"tfso://sandbox-client:sandbox-secret@{text(sandbox.tfso_url)}/"
        f"?organization_id=100000000000001&token_url={text(sandbox.tfso_token_url)}&timeout=2&verify=false",
    )
    hook = TfsoHook()
    assert hook.settings.url == sandbox.tfso_url
    assert hook.list_sales_orders() == []


def test_a_connection_survives_a_uri_with_extra_as_one_json(connections: Connections, sandbox: Any) -> None:
    extra = {"organization_id": "100000000000001", "token_url": sandbox.tfso_token_url, "settle_seconds": 0.5}
    connection = Connection(
        conn_id="c",
        conn_type="tfso",
        host=sandbox.tfso_url,
        login="sandbox-client",
        password="sandbox-secret",
        extra=json.dumps(extra),
    )
    connections.text("tfso_default", connection.get_uri())
    hook = TfsoHook()
    assert hook.timing().settle == 0.5
    assert hook.list_sales_orders() == []


def test_missing_login_and_password_are_named_in_one_sentence(connections: Connections) -> None:
    connections.tfso(login=None, password=None)
    with pytest.raises(ConfigurationError) as caught:
        _ = TfsoHook().settings
    assert str(caught.value) == ("connection 'tfso_default' lacks login (client id), password (client secret)")
    assert caught.value.permanent


@pytest.mark.parametrize("extra", [{"organization_id": None}, {"organization_id": ""}])
def test_a_missing_organization_is_named(connections: Connections, extra: dict[str, Any]) -> None:
    connections.tfso(extra=extra)
    with pytest.raises(ConfigurationError, match="connection 'tfso_default': the extra field 'organization_id' is re"):
        _ = TfsoHook().settings


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"organization_id": ["1"]}, "organization_id"),
        ({"organization_id": True}, "organization_id"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": "inf"}, "timeout"),
        ({"timeout": "nan"}, "timeout"),
        ({"timeout": [1]}, "timeout"),
        ({"requests_per_second": "many"}, "requests_per_second"),
        ({"requests_per_second": True}, "requests_per_second"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": 0.09}, "requests_per_second"),
        ({"requests_per_hour": "inf"}, "requests_per_hour"),
        ({"requests_per_hour": 9}, "requests_per_hour"),
        ({"token_url": {"a": 1}}, "token_url"),
        ({"verify": "perhaps"}, "verify"),
        ({"trust_env": "perhaps"}, "trust_env"),
        ({"cert": 7}, "cert"),
        ({"proxies": ["x"]}, "proxies"),
        ({"proxy": 7}, "proxy"),
        ({"order_url_template": ["https://x.example"]}, "order_url_template"),
    ],
)
async def test_a_wrong_extra_field_is_named_and_nothing_is_sent(
    connections: Connections, log: Any, extra: dict[str, Any], name: str
) -> None:
    connections.tfso(extra=extra)
    with pytest.raises(ConfigurationError, match=f"extra field '{name}'"):
        TfsoHook().list_sales_orders()
    async with TfsoHook() as hook:
        with pytest.raises(ConfigurationError, match=f"extra field '{name}'"):
            await hook.alist_sales_orders()
    assert log.sandbox.requests() == []


@pytest.mark.parametrize("value", [0, -1, "soon"])
def test_a_wrong_settle_time_of_the_connection_is_named(connections: Connections, value: Any) -> None:
    connections.tfso(extra={"settle_seconds": value})
    with pytest.raises(ConfigurationError, match="'settle_seconds' must be a number of seconds above zero"):
        TfsoHook().timing()


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_a_wrong_settle_time_of_an_operator_is_named(connections: Connections, value: float) -> None:
    with pytest.raises(ConfigurationError, match="settle_seconds must be a number of seconds above zero"):
        TfsoHook().timing(value)


def test_a_url_template_is_filled_with_quoted_values_or_gives_no_address(connections: Connections) -> None:
    connections.tfso(extra={"order_url_template": "https://x.example/{sales_order_id}"})
    settings = TfsoHook().settings
    assert settings.template("order_url_template", {"sales_order_id": "a/b?c"}) == "https://x.example/a%2Fb%3Fc"
    assert settings.template("order_url_template", {"sales_order_id": None}) is None
    assert settings.template("invoice_url_template", {"sales_order_id": 7}) is None


ORDER_NAMES = r"\{sales_order_id\}, \{organization_id\}, \{invoice_number\}"


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("order_url_template", "https://x.example/{order_id}"),
        ("order_url_template", "https://x.example/{sales_order_id}/{nope}"),
        ("order_url_template", "https://x.example/{ sales_order_id }"),
        ("order_url_template", "https://x.example/{"),
        ("order_url_template", "https://x.example/{}"),
        ("invoice_url_template", "https://x.example/{invoice}"),
    ],
)
def test_an_unknown_name_in_a_url_template_is_refused_and_the_known_ones_are_named(
    connections: Connections, log: Any, name: str, template: str
) -> None:
    connections.tfso(extra={name: template})
    with pytest.raises(ConfigurationError, match=rf"field '{name}' may have only {ORDER_NAMES} in braces"):
        TfsoHook().list_sales_orders()
    told, text = TfsoHook().test_connection()
    assert not told
    assert "{sales_order_id}" in text
    assert log.sandbox.requests() == []


@pytest.mark.parametrize("region", ["eu", "us"])
def test_an_unknown_name_in_the_document_link_is_refused(connections: Connections, region: str) -> None:
    connections.hypatos(extra={"document_url_template": "https://x.example/{id}", "region": region})
    with pytest.raises(ConfigurationError, match=r"may have only \{document_id\}, \{external_id\} in braces"):
        _ = HypatosHook().settings


def test_secrets_are_in_no_repr(connections: Connections) -> None:
    connections.tfso(extra={"api_key": "geheim"})
    hook = TfsoHook()
    shown = repr([hook.settings, hook.service(hook.settings)])
    assert "sandbox-secret" not in shown
    assert "geheim" not in shown


def test_the_hook_is_made_from_its_connection_id_alone_and_reads_nothing_yet() -> None:
    for hook_class in (TfsoHook, HypatosHook):
        hook = hook_class(**{hook_class.conn_name_attr: "does_not_exist"})
        assert getattr(hook, hook_class.conn_name_attr) == "does_not_exist"


def test_airflow_finds_the_hook_of_a_connection(connections: Connections) -> None:
    assert isinstance(Connection.get("tfso_default").get_hook(), TfsoHook)
    assert isinstance(Connection.get("hypatos_default").get_hook(), HypatosHook)
