#!/usr/bin/env bash
# The commands of docs/getting-started.md, in their order, for an empty folder. What stands between the markers is what the
# page shows; `make getting-started` runs it.
set -euo pipefail
set -m  # each background job gets a process group of its own, and can be interrupted as a whole, as by Ctrl-C
stop() {
    trap - EXIT
    for job in $(jobs -p); do kill -INT -- "-$job" || true; done
    wait
}
trap stop EXIT

# [START install]
python3 -m venv .venv
. .venv/bin/activate
pip install airflow-provider-tfso-hypatos
# [END install]

(
# [START sandbox]
. .venv/bin/activate
python -m tfso_hypatos.sandbox | tee sandbox.txt
# [END sandbox]
) &
until grep -qs '^Ctrl-C' sandbox.txt; do sleep 0.2; done

mkdir -p dags
cp "$MINIMAL_ORDER" dags/minimal_order.py

# [START settings]
cat > settings.sh <<'END'
. .venv/bin/activate
export AIRFLOW_HOME="$PWD/airflow"
export AIRFLOW__CORE__DAGS_FOLDER="$PWD/dags"
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False
export AIRFLOW__API__HOST=127.0.0.1
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
END
grep '^export' sandbox.txt >> settings.sh
# [END settings]

(
# [START airflow]
. ./settings.sh
airflow standalone
# [END airflow]
) > airflow.txt 2>&1 &
until curl -sf http://127.0.0.1:8080/api/v2/monitor/health >/dev/null; do kill -0 $!; sleep 1; done

until
# [START trigger]
. ./settings.sh
airflow dags trigger minimal_order
# [END trigger]
do sleep 5; done
orders() { curl -s http://127.0.0.1:8780/__sandbox__/state | python -c 'import json, sys
books, = json.load(sys.stdin)["organizations"].values()
print(len(books["orders"]), len(books["invoices"]), len(books["deleted_orders"]))'; }
until [ "$(orders)" = "1 1 0" ]; do sleep 1; done

# [START result]
curl -s http://127.0.0.1:8780/__sandbox__/state | python -m json.tool --no-ensure-ascii
# [END result]

# [START fault]
curl -s -d '{"action": "drop_after", "method": "POST", "path": "^/salesorders$"}' http://127.0.0.1:8780/__sandbox__/faults
airflow dags trigger minimal_order --conf '{"order_key": "web-10047"}'
# [END fault]
until [ "$(orders)" = "2 2 0" ]; do sleep 1; done
# [START again]
airflow dags trigger minimal_order --conf '{"order_key": "web-10047"}'
# [END again]
until [ "$(airflow dags list-runs minimal_order --state success --output plain | grep -c manual__)" = 3 ]; do sleep 2; done
[ "$(orders)" = "2 2 0" ]
echo "Two business orders were sent, one of them twice and with a lost answer: two orders, two invoices."
