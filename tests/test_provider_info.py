from __future__ import annotations

import copy
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

import tfso_hypatos
from tfso_hypatos.get_provider_info import get_provider_info
from tfso_hypatos.hooks.base import ApiHook

IS_AIRFLOW_3_2 = importlib.metadata.version("apache-airflow-core").startswith("3.2.")
DISTRIBUTION = "airflow-provider-tfso-hypatos"
INFO = get_provider_info()


def schema(name: str) -> dict[str, Any]:
    """Return one of Airflow's schemas of provider descriptions."""
    loaded: dict[str, Any] = json.loads(files("airflow").joinpath(name).read_text(encoding="utf-8"))
    return loaded


def strict(value: Any) -> Any:
    """Return a schema whose objects take no members that it does not name, so that a typing error is found."""
    if isinstance(value, dict):
        made = {name: strict(member) for name, member in value.items()}
        if isinstance(value.get("properties"), dict) and "additionalProperties" not in value:
            made["additionalProperties"] = False
        return made
    return [strict(member) for member in value] if isinstance(value, list) else value


def test_airflow_accepts_the_info_at_run_time() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_the_info_is_what_a_provider_of_airflow_would_declare() -> None:
    whole = {**INFO, "state": "ready", "lifecycle": "production", "source-date-epoch": 1, "versions": ["0.1.0"]}
    jsonschema.validate(whole, schema("provider.yaml.schema.json"))


@pytest.mark.skipif(IS_AIRFLOW_3_2, reason="the schema of Airflow 3.2 does not name hook-name")
def test_the_connection_forms_have_no_misspelt_member() -> None:
    rules = strict(schema("provider.yaml.schema.json")["properties"]["connection-types"])
    jsonschema.validate(INFO["connection-types"], rules)
    broken = copy.deepcopy(INFO["connection-types"])
    broken[0]["conn-fields"]["audience"]["lable"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, rules)


def test_the_info_is_plain_data() -> None:
    assert json.loads(json.dumps(INFO)) == INFO
    assert get_provider_info() == INFO
    assert get_provider_info() is not INFO


def test_the_package_name_is_that_of_the_distribution() -> None:
    assert INFO["package-name"] == DISTRIBUTION
    metadata = importlib.metadata.metadata(DISTRIBUTION)
    assert metadata["Name"] == DISTRIBUTION
    assert metadata["Version"] == tfso_hypatos.__version__


def test_airflow_is_pointed_to_the_info() -> None:
    (entry,) = [
        each
        for each in importlib.metadata.entry_points(group="apache_airflow_provider")
        if each.dist is not None and each.dist.name == DISTRIBUTION
    ]
    assert entry.load()() == INFO


@pytest.mark.parametrize("kind", ["operators", "sensors", "hooks", "triggers"])
def test_every_listed_module_exists_and_belongs_to_a_listed_integration(kind: str) -> None:
    names = {each["integration-name"] for each in INFO["integrations"]}
    for group in INFO[kind]:
        assert group["integration-name"] in names
        for module in group["python-modules"]:
            importlib.import_module(module)


def imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_every_listed_class_exists() -> None:
    for path in (*INFO["extra-links"], *INFO["notifications"], *(each["handler"] for each in INFO["asset-uris"])):
        assert imported(path).__name__ in path
    for connection in INFO["connection-types"]:
        hook = imported(connection["hook-class-name"])
        assert issubclass(hook, ApiHook)
        assert hook.conn_type == connection["connection-type"]
        assert hook.hook_name == connection["hook-name"]
        assert hook.default_conn_name == f"{hook.conn_type}_default"


def test_a_connection_type_can_stand_in_a_uri() -> None:
    for connection in INFO["connection-types"]:
        name = connection["connection-type"]
        assert name[0].isalpha()
        assert "__" not in name


@pytest.mark.parametrize("connection", INFO["connection-types"], ids=lambda each: each["connection-type"])
def test_every_field_of_a_form_may_be_left_empty_unless_it_is_required(connection: dict[str, Any]) -> None:
    for name, field in connection["conn-fields"].items():
        rules = field["schema"]
        if "Required" in field["description"]:
            continue
        jsonschema.validate(None, rules)
        if "default" in rules:
            jsonschema.validate(rules["default"], rules)
        assert name == name.lower()


def test_the_form_asks_for_everything_that_the_design_names() -> None:
    tfso, hypatos = (set(each["conn-fields"]) for each in INFO["connection-types"])
    assert tfso >= {
        "organization_id",
        "token_url",
        "audience",
        "timeout",
        "settle_seconds",
        "requests_per_second",
        "requests_per_hour",
        "order_url_template",
        "invoice_url_template",
    }
    assert hypatos >= {
        "region",
        "company_id",
        "timeout",
        "requests_per_second",
        "requests_per_hour",
        "document_url_template",
    }


CODE = """
import json, sys
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
found = {each.connection_type: each for each in HookMetaService.hook_meta_data()}
shown = {}
for name in ("tfso", "hypatos"):
    meta = found[name]
    shown[name] = {
        "hook_name": meta.hook_name,
        "hook_class_name": meta.hook_class_name,
        "extra_fields": list(meta.extra_fields),
        "host": meta.standard_fields.host.title,
        "login": meta.standard_fields.login.title,
        "password": meta.standard_fields.password.title,
        "port_hidden": meta.standard_fields.port.hidden,
        "port_hint": meta.standard_fields.port.placeholder,
    }
shown["loaded"] = sorted(name for name in sys.modules if name.startswith("tfso_hypatos"))
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
shown["links"] = [each for each in manager.extra_links_class_names if each.startswith("tfso_hypatos")]
shown["versions"] = {k: v.version for k, v in manager.providers.items() if "tfso" in k}
print(json.dumps(shown))
"""


def test_airflow_shows_both_connection_forms_without_importing_a_hook() -> None:
    done = subprocess.run(  # noqa: S603 - our own Python and our own code
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    # Airflow 3.2 imports the hooks for the names of their types.
    assert IS_AIRFLOW_3_2 or not [name for name in shown["loaded"] if name.startswith("tfso_hypatos.hooks")]
    for connection in INFO["connection-types"]:
        form = shown[connection["connection-type"]]
        assert form["hook_name"] == connection["hook-name"]
        assert form["hook_class_name"] == connection["hook-class-name"]
        assert form["extra_fields"] == list(connection["conn-fields"])
        assert (form["host"], form["login"], form["password"]) == ("API URL", "Client ID", "Client secret")
        # A connection that is stored without a port cannot be tested, so the form must let people enter 0.
        assert form["port_hidden"] is False
        assert form["port_hint"].startswith("Enter 0")
    assert sorted(shown["links"]) == sorted(INFO["extra-links"])
    assert shown["versions"] == {DISTRIBUTION: tfso_hypatos.__version__}
