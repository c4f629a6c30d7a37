from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.sandbox.hypatos import merge_patch
from tfso_hypatos.sandbox.server import Sandbox

if TYPE_CHECKING:
    import requests
    from tests.sandbox.conftest import Hypatos


def entries(answer: requests.Response, status: int = 400) -> list[list[Any]]:
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert all(each.keys() == {"loc", "msg", "type"} for each in detail)
    return [each["loc"] for each in detail]


def test_insert_overwrites_whole(hypatos: Hypatos) -> None:
    first = hypatos.insert(externalId="A", headerText="x", unheardOf=1)
    assert first.status_code == 200
    again = hypatos.insert(externalId="A", currency="NOK")
    assert again.json() == first.json()
    assert hypatos.sandbox.state()["enrichment"] == {"A": {"externalId": "A", "currency": "NOK"}}


def test_patch_merges(hypatos: Hypatos) -> None:
    hypatos.insert(
        externalId="A",
        headerText="x",
        customFields={"a": "1", "b": "2"},
        salesOrderLines=[{"orderLineNumber": "1"}, {"orderLineNumber": "2"}],
    )
    body = (
        '{"externalId":"A","headerText":null,"totalNetAmount":100.10,'
        '"customFields":{"a":null,"c":"3"},"salesOrderLines":[{"orderLineNumber":"9"}]}'
    )
    answer = hypatos.patch("A", body, "application/merge-patch+json; charset=utf-8")
    assert answer.status_code == 200
    assert answer.json() == {
        "externalId": "A",
        "customFields": {"b": "2", "c": "3"},
        "salesOrderLines": [{"orderLineNumber": "9"}],
        "totalNetAmount": 100.1,
    }
    assert '"totalNetAmount":100.10' in answer.text
    assert hypatos.patch("A", body).json() == answer.json()


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_as_in_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_keys_are_percent_encoded(hypatos: Hypatos) -> None:
    hypatos.insert(externalId="SO#1/2%?ø")
    body = '{"externalId":"SO#1/2%?ø","isCanceled":true}'
    assert hypatos.patch("SO%231%2F2%25%3F%C3%B8", body).json()["isCanceled"] is True


def test_media_types(hypatos: Hypatos) -> None:
    hypatos.insert(externalId="A")
    answer = hypatos.patch("A", '{"externalId":"A"}', "application/json")
    assert entries(answer, 415) == [["header", "content-type"]]
    answer = hypatos.call("POST", "/enrichment/sales-orders", data="externalId=A")
    assert entries(answer, 415) == [["header", "content-type"]]


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ("{}", [["body", "externalId"]]),
        ('{"externalId":null}', [["body", "externalId"]]),
        ('{"externalId":"B"}', [["body", "externalId"]]),
        ("[]", [["body"]]),
        ("{", [["body"]]),
        (
            '{"externalId":"A","salesOrderLines":[{"netAmount":"1"}],"issuedDate":"today","currency":"nok"}',
            [["body", "currency"], ["body", "issuedDate"], ["body", "salesOrderLines", 0, "netAmount"]],
        ),
        ('{"externalId":"A","customFields":{"a":1}}', [["body", "customFields", "a"]]),
        ('{"externalId":"A","documentId":"x"}', [["body", "documentId"]]),
        (
            '{"externalId":"A","paymentTerms":{"descriptions":[{"language":"NO"}]}}',
            [["body", "paymentTerms", "descriptions", 0, "language"]],
        ),
    ],
)
def test_patch_body_is_checked(hypatos: Hypatos, body: str, places: list[list[Any]]) -> None:
    hypatos.insert(externalId="A", headerText="x")
    found = entries(hypatos.patch("A", body))
    assert sorted(found, key=str) == places
    assert hypatos.sandbox.state()["enrichment"]["A"] == {"externalId": "A", "headerText": "x"}


def test_language_no_is_norwegian(hypatos: Hypatos) -> None:
    terms = {"descriptions": [{"language": "no", "text": "Betal"}, {"language": None}]}
    assert hypatos.insert(externalId="A", paymentTerms=terms).status_code == 200


def test_unknown_and_deleted(hypatos: Hypatos) -> None:
    answer = hypatos.patch("A", '{"externalId":"A"}')
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("application/json")
    assert (answer.json()["title"], answer.json()["status"]) == ("Not found", 404)
    hypatos.insert(externalId="A", headerText="x")
    assert hypatos.call("DELETE", "/enrichment/sales-orders/A").status_code == 204
    assert hypatos.call("DELETE", "/enrichment/sales-orders/A").status_code == 404
    assert hypatos.patch("A", '{"externalId":"A"}').status_code == 404
    assert hypatos.sandbox.state()["enrichment_deleted"] == ["A"]
    hypatos.insert(externalId="A")
    assert hypatos.patch("A", '{"externalId":"A"}').json() == {"externalId": "A"}
    assert hypatos.call("GET", "/enrichment/sales-orders/A").status_code == 405
    assert hypatos.call("GET", "/enrichment/unheard-of").status_code == 404


def test_a_patch_that_sets_nothing_is_a_look(hypatos: Hypatos, sandbox: Sandbox) -> None:
    hypatos.insert(externalId="A", headerText="x")
    assert hypatos.patch("A", '{"externalId":"A"}').json() == {"externalId": "A", "headerText": "x"}
    assert hypatos.patch("B", '{"externalId":"B"}').status_code == 404
    assert sandbox.state()["enrichment_writes"] == {"A": 1}
    assert [each["committed"] for each in sandbox.requests() if each["method"] == "PATCH"] == [False, False]


def test_switches(hypatos: Hypatos, sandbox: Sandbox) -> None:
    sandbox.configure(hypatos_strict=True, hypatos_insert_error=422)
    assert entries(hypatos.insert(externalId="A", unheardOf=1), 422) == [["body", "unheardOf"]]
    assert hypatos.insert(externalId="A", customMetadata={"any": {"thing": [1]}}).status_code == 200


def test_companies(hypatos: Hypatos) -> None:
    assert hypatos.call("GET", "/companies").json()["data"][0]["active"] is True


def test_rate_headers_and_limit(hypatos: Hypatos, sandbox: Sandbox) -> None:
    assert hypatos.insert(externalId="A").headers["x-ratelimit-limit"]
    sandbox.configure(hypatos_rate=3, hypatos_window=30)
    sandbox.reset()
    sandbox.configure(hypatos_rate=3, hypatos_window=30)
    answers = [hypatos.insert(externalId="A") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit"] == "3, 3;w=30"
    assert 0 < int(answers[-1].headers["x-ratelimit-reset"]) <= 30
    assert answers[-1].content == b""
    assert "Retry-After" not in answers[-1].headers
    assert sandbox.state()["enrichment_writes"] == {"A": 3}
