"""Both connection forms: what they ask for is stored, and the Test button says that it works."""

from __future__ import annotations

import json

import pytest
from tests.browser import forms, stage
from tests.browser.ui import AirflowUi, field


@pytest.mark.parametrize(
    ("conn_id", "answer"),
    [
        ("tfso_default", "24SevenOffice answered: organization 100000000000001 can read sales orders"),
        ("hypatos_default", "Hypatos issued an access token"),
    ],
)
def test_the_test_button_says_that_a_connection_made_in_the_form_works(
    ui: AirflowUi, on_stage: stage.Stage, conn_id: str, answer: str
) -> None:
    said = ui.test_connection(conn_id)

    assert said.splitlines() == ["Test Connection Successful", answer]


def test_what_is_entered_into_the_form_is_what_airflow_stores(ui: AirflowUi, on_stage: stage.Stage) -> None:
    stored = on_stage.airflow.ask("GET", "/api/v2/connections/tfso_default")

    extra = json.loads(stored["extra"])
    assert (stored["conn_type"], stored["login"], stored["port"]) == ("tfso", "sandbox-client", 0)
    assert stored["host"] == on_stage.sandbox.tfso_url
    assert (extra["organization_id"], extra["settle_seconds"], extra["verify"]) == ("100000000000001", 0.5, True)
    assert extra["order_url_template"].endswith("/orders/{organization_id}/{sales_order_id}")


def test_the_form_cannot_be_saved_without_an_organization(ui: AirflowUi, on_stage: stage.Stage) -> None:
    standard, extra = forms.tfso_fields(on_stage.sandbox)
    form = ui.begin_connection(forms.TFSO_TYPE, "tfso_other")
    ui.fill(form, "Standard Fields", standard)
    save = form.get_by_role("button", name="Save", exact=True)
    assert save.is_disabled()

    ui.fill(form, "Extra Fields", {"Organization ID": extra["Organization ID"]})

    assert field(form, "Organization ID").locator("input").input_value() == extra["Organization ID"]
    assert save.is_enabled()
