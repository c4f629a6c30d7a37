"""What a person does in the Airflow UI, by the labels that the person reads."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Values = Mapping[str, Any]
"""Fields of a section of a form by their labels: text, a number, True or False for a switch, a list for JSON."""

RUN_PATIENCE = 300.0
_ENDED = ("Success", "Failed")


class AirflowUi:
    """The Airflow UI in a browser.

    :param page: a page of the browser.
    :param url: address of Airflow.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def go(self, path: str) -> None:
        """Open a page by its path."""
        self.page.goto(self.url + path)

    def begin_connection(self, kind: str, conn_id: str) -> Locator:
        """Open the form of a new connection and choose its type.

        :param kind: type, as the form shows it.
        :param conn_id: id of the connection.
        """
        self.go("/connections")
        self.page.get_by_role("button", name="Add Connection").first.click()
        form = self.page.get_by_role("dialog")
        form.get_by_label("Connection ID").fill(conn_id)
        form.get_by_role("combobox", name="Connection Type").fill(kind)
        self.page.get_by_role("option", name=kind, exact=True).click()
        form.get_by_role("button", name="Standard Fields").wait_for()
        return form

    def add_connection(self, kind: str, conn_id: str, standard: Values, extra: Values) -> None:
        """Create a connection through its form.

        :param kind: type, as the form shows it.
        :param conn_id: id of the connection.
        :param standard: values of the standard fields, by their labels.
        :param extra: values of the extra fields, by their labels.
        """
        form = self.begin_connection(kind, conn_id)
        self.fill(form, "Standard Fields", standard)
        self.fill(form, "Extra Fields", extra)
        self.submit(form, "Save")
        self._connection(conn_id).wait_for()

    def test_connection(self, conn_id: str) -> str:
        """Press the Test button of a connection and return what Airflow says."""
        self.go("/connections")
        self._connection(conn_id).get_by_role("button", name="Test Connection").click()
        said = self.page.get_by_role("status").filter(has_text="Test Connection")
        said.wait_for()
        return said.inner_text()

    def _connection(self, conn_id: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=conn_id)

    def begin_trigger(self, dag_id: str) -> Locator:
        """Open the trigger form of a DAG."""
        self.go(f"/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger Dag").or_(
            self.page.get_by_role("button", name="Trigger", exact=True)
        ).first.click()
        form = self.page.get_by_role("dialog")
        form.get_by_role("button", name="Advanced Options", exact=True).wait_for()
        return form

    def trigger(self, dag_id: str, run_id: str, sections: Mapping[str, Values]) -> None:
        """Fill in the trigger form of a DAG, send it, and stay on the page of the run.

        :param dag_id: the DAG.
        :param run_id: id of the run, as given under the advanced options.
        :param sections: values by section of the form and label.
        """
        form = self.begin_trigger(dag_id)
        for section, values in {**sections, "Advanced Options": {"Run ID": run_id}}.items():
            self.fill(form, section, values)
        self.submit(form, "Trigger")
        self.page.wait_for_url(f"**/dags/{dag_id}/runs/{run_id}*")

    def fill(self, form: Locator, section: str, values: Values) -> None:
        """Fill in fields of a section, which is opened if it is closed.

        :param form: the form.
        :param section: title of the section.
        :param values: values by label.
        """
        self.open_section(form, section)
        for label, value in values.items():
            self._set(field(form, label), value)

    def open_section(self, form: Locator, section: str) -> None:
        """Open a section of a form, which closes the others."""
        title = form.get_by_role("button", name=section, exact=True)
        if title.get_attribute("aria-expanded") != "true":
            title.click()

    def _set(self, place: Locator, value: Any) -> None:
        place.scroll_into_view_if_needed()
        if isinstance(value, bool):
            switch = place.get_by_role("checkbox")
            if switch.is_checked() is not value:
                place.locator("[data-part=control]").click()
        elif isinstance(value, list):
            # Pasted, as the editor closes every bracket that is typed.
            self.page.evaluate("text => navigator.clipboard.writeText(text)", json.dumps(value, ensure_ascii=False))
            place.get_by_role("code").click()
            self.page.keyboard.press("ControlOrMeta+A")
            self.page.keyboard.press("ControlOrMeta+V")
        elif place.get_by_role("combobox").count():
            place.get_by_role("combobox").fill(str(value))
            self.page.get_by_role("option", name=str(value)).click()
        else:
            place.locator("input, textarea").first.fill(str(value))

    def submit(self, form: Locator, button: str) -> None:
        """Send a form and wait until it is gone."""
        form.get_by_role("button", name=button, exact=True).click()
        form.wait_for(state="hidden")

    def ended(self, dag_id: str, run_id: str) -> str:
        """Wait on the page of a run until it has ended, and return the state that it shows."""
        self.go(f"/dags/{dag_id}/runs/{run_id}")
        return self._shown(run_id, _ENDED, RUN_PATIENCE)

    def _shown(self, heading: str, states: tuple[str, ...], patience: float) -> str:
        # The state stands in the line of the heading.
        self.page.get_by_role("heading", name=heading, exact=True).wait_for()
        line = self.page.get_by_role("heading", name=heading, exact=True).locator("xpath=..")
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            text = line.inner_text()
            for state in states:
                if re.search(rf"^{state}$", text, flags=re.MULTILINE):
                    return state
            self.page.wait_for_timeout(500)
        raise AssertionError(f"{heading} shows none of {', '.join(states)} after {patience:.0f} seconds: {text!r}")

    def open_task(self, dag_id: str, run_id: str, task_id: str, tab: str) -> None:
        """Open a tab of the page of a task, by its title."""
        self.go(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}")
        self.page.get_by_role("link", name=tab).click()

    def extra_link(self, dag_id: str, run_id: str, task_id: str, name: str) -> Page:
        """Follow an extra link of a task, and return the page that it opens.

        :param name: text of the link.
        """
        self.open_task(dag_id, run_id, task_id, "Details")
        with self.page.expect_popup() as opened:
            self.page.get_by_role("link", name=name, exact=True).click()
        opened.value.wait_for_load_state()
        return opened.value

    def open_required_action(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Open what a person is asked for by a task, and return its text."""
        self.go(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}")
        tab = self.page.get_by_role("link", name=re.compile("^Required Action"))
        tab.click(timeout=RUN_PATIENCE * 1000)
        self.page.get_by_role("button", name="Approve", exact=True).wait_for()
        return self.page.locator("body").inner_text()

    def respond(self, option: str) -> None:
        """Press one of the buttons of a required action."""
        self.page.get_by_role("button", name=option, exact=True).click()
        self.page.get_by_text("Response received").wait_for()


def field(form: Locator, label: str) -> Locator:
    """Return the field of a form that has a label; that it is required, is shown by a star."""
    exactly = re.compile(rf"^{re.escape(label)}\s*\*?$")
    return form.get_by_role("group").filter(has=form.page.locator("label").filter(has_text=exactly))
