"""``make airflow``: the Airflow user interface with the example DAGs, both connections and a sandbox behind them."""

from __future__ import annotations

import json
import sys

from environment import DAG_ID, ROOT, Airflow, Failure, interrupt_on_termination, is_free, quick_to_settle

from tfso_hypatos.get_provider_info import get_provider_info
from tfso_hypatos.sandbox.server import Sandbox

_TRANSACTION_DELAY = 20


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C and return the exit status.

    :param arguments: port of the user interface and port of the sandbox.
    """
    interrupt_on_termination()
    home = ROOT / ".airflow"
    try:
        port, sandbox_port = (int(argument) for argument in arguments)
    except ValueError:
        print("PORT and SANDBOX_PORT are numbers, as in: make airflow PORT=8081 SANDBOX_PORT=8781", file=sys.stderr)
        return 2
    for name, wanted in (("PORT", port), ("SANDBOX_PORT", sandbox_port)):
        if not is_free(wanted):
            print(f"Port {wanted} is taken. Choose another one: make airflow {name}={wanted + 1}", file=sys.stderr)
            return 1
    airflow = Airflow(home, port)
    try:
        with Sandbox(port=sandbox_port, transaction_delay=_TRANSACTION_DELAY, sample_orders=True) as sandbox:
            print(f"Starting Airflow (half a minute; its log is {airflow.log.relative_to(ROOT)}) ...", flush=True)
            with airflow.running():
                connect(airflow, sandbox)
                make_pool(airflow)
                print(_greeting(airflow.url, sandbox.url), flush=True)
                airflow.wait()
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return 0
    except Failure as failure:
        print(f"\n{airflow.last_lines()}\n\nFAILED: {failure}\n\nThe log: {airflow.log}", file=sys.stderr)
        return 1


def connect(airflow: Airflow, sandbox: Sandbox) -> None:
    """Put the connections to the sandbox where the user interface shows them.

    :param airflow: a running Airflow.
    :param sandbox: a running sandbox.
    """
    fields = {kind["connection-type"]: kind["conn-fields"] for kind in get_provider_info()["connection-types"]}
    entities = []
    for name, connection in quick_to_settle(sandbox.connections()).items():
        # The form shows the extra fields that a connection has; and it tests with port 0 what has no port, which
        # Airflow then takes for another server.
        extra = json.dumps({**dict.fromkeys(fields[connection["conn_type"]]), **connection["extra"]})
        about = {"connection_id": name, "description": "The sandbox", "port": 0}
        entities.append({**connection, **about, "extra": extra})
    action = {"action": "create", "entities": entities, "action_on_existence": "overwrite"}
    answer = airflow.ask("PATCH", "/api/v2/connections", {"actions": [action]})
    if answer["create"]["errors"]:
        raise Failure(f"Airflow did not take the connections: {answer['create']['errors']}")


def make_pool(airflow: Airflow) -> None:
    """Make the pool that one of the example DAGs bills in, unless it is there.

    :param airflow: a running Airflow.
    """
    pool = {"name": "tfso_invoicing", "slots": 1, "description": "Billing in 24SevenOffice: one task at a time"}
    action = {"action": "create", "entities": [pool], "action_on_existence": "skip"}
    answer = airflow.ask("PATCH", "/api/v2/pools", {"actions": [action]})
    if answer["create"]["errors"]:
        raise Failure(f"Airflow did not make the pool: {answer['create']['errors']}")


def _greeting(url: str, sandbox_url: str) -> str:
    return f"""
Airflow      {url}/dags/{DAG_ID}      no login needed
Connections  {url}/connections
Sandbox      {sandbox_url}/      what 24SevenOffice and Hypatos hold

Open the first address, press Trigger, and look at the form. A posted invoice takes {_TRANSACTION_DELAY} seconds.
People have made orders in the sandbox: invoice_confirmed_orders bills those that are confirmed.
Ctrl-C stops everything. The sandbox forgets; Airflow keeps its runs in .airflow (make clean removes them)."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
