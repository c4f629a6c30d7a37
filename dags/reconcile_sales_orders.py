"""Compare the sales orders of a period in both systems, and report what is the matter."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from tfso_hypatos.operators.reconciliation import ReconcileSalesOrdersOperator

ABOUT = """
Compares the sales orders of a period in **24SevenOffice** with their markers, the ledger and **Hypatos**, and writes a
report for people (HTML) and for tools (CSV, JSON): what is not invoiced, not posted, not enriched, what exists twice,
and what is not what it should be.

It only reads, unless *Repair* says otherwise. Begin with *Show what would be done (dry run)*: it lists what *Repair*
would do, and changes nothing. Nothing is ever invoiced or deleted.

The log of the task has a table, and says in its last lines where the report is: a file of the worker, unless *Folder
for the reports* is elsewhere. With *Web address of the folder*, the task's *Details* have a link to it.

Left empty, the dates are the day of the run and the 30 days before it. To have the report every morning, set
`schedule=CronTriggerTimetable("0 6 * * *", timezone="Europe/Oslo")`; a scheduled run takes the defaults of the form, so
set those of *Folder for the reports* and *External ID format*, too.
"""

# [START params]
CLASSES = {
    "not_enriched": "Posted, not enriched: write the record in Hypatos",
    "enrichment_differs": "Enrichment differs: write the record in Hypatos again",
    "stray_without_lines": "Stray without lines: set it inactive if another order has the lines",
}

FORM = {
    "date_from": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Order date from",
        description="This day is included. Left empty: 30 days before the last one.",
    ),
    "date_to": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Order date to",
        description="This day is included, too. Left empty: the day of the run.",
    ),
    "statuses": Param(
        [],
        type=["null", "array"],
        examples=["Draft", "Web", "Proposal", "Confirmed", "Invoice", "AdvanceInvoice", "Inactive"],
        items={
            "type": "string",
            "enum": ["Draft", "Web", "Proposal", "Confirmed", "Invoice", "AdvanceInvoice", "Inactive"],
        },
        title="Only these statuses",
        description="Left empty: all. Two orders with one marker are found only if both are looked at.",
    ),
    "unmarked": Param(
        "report",
        type="string",
        enum=["report", "ignore"],
        values_display={"report": "Report them", "ignore": "Leave them out"},
        title="Orders without a marker",
        description="A person made them, or somebody removed the marker.",
    ),
    "not_invoiced_after_days": Param(
        7,
        type="integer",
        minimum=0,
        maximum=365,
        title="Invoiced within (days)",
        description="Older orders that are not invoiced are reported.",
        section="What counts as late",
    ),
    "not_posted_after_days": Param(
        1,
        type="integer",
        minimum=0,
        maximum=365,
        title="Posted within (days)",
        description="Older invoices without a ledger transaction are reported.",
        section="What counts as late",
    ),
    "grace_minutes": Param(
        60,
        type="integer",
        minimum=0,
        maximum=10080,
        title="May be in work for (minutes)",
        description="An order that was changed since is not yet reported as a stray or a duplicate.",
        section="What counts as late",
    ),
    "order_keys": Param(
        [],
        type=["null", "array"],
        title="Order numbers of the source",
        description="Your own numbers of the business orders that should be there, one a line. Left empty: it is not "
        "reported what is missing.",
        section="Source",
    ),
    "external_id_format": Param(
        None,
        type=["null", "string"],
        title="External ID format",
        description="How the key of a record is made, such as sales-order-{sales_order_id}: a text with "
        "{sales_order_id}, {invoice_number}, {reference_number}, {customer_id} or {order_key} (needs the order numbers "
        "above) in it. Left empty: Hypatos is not compared.",
        section="Hypatos",
    ),
    "report_path": Param(
        "file:///tmp/reconciliation",
        type="string",
        minLength=1,
        title="Folder for the reports",
        description="Each run writes a folder of its own into it. Any URL that Airflow's object storage knows; file:// "
        "is a folder of the worker.",
        section="Report",
    ),
    "report_url": Param(
        None,
        type=["null", "string"],
        title="Web address of the folder",
        description="Where people open it, beginning with https://, without ? or # in it. The task then has a link "
        "to its report. Left empty: no link.",
        section="Report",
    ),
    "check_lines": Param(
        "open",
        type="string",
        enum=["open", "all"],
        values_display={"open": "Of orders that are not invoiced", "all": "Of all orders (one more request each)"},
        title="Read lines",
        section="Report",
    ),
    "repair": Param(
        "none",
        type="string",
        enum=["none", "preview", "apply"],
        values_display={
            "none": "Only report",
            "preview": "Show what would be done (dry run)",
            "apply": "Repair",
        },
        title="Repair",
        description="Nothing is ever invoiced or deleted; what may be a person's work is left to the person.",
        section="Repair",
    ),
    "repair_classes": Param(
        list(CLASSES),
        type=["null", "array"],
        examples=list(CLASSES),
        values_display=CLASSES,
        items={"type": "string", "enum": list(CLASSES)},
        title="What may be repaired",
        section="Repair",
    ),
}
# [END params]

# [START dag]
with DAG(
    dag_id="reconcile_sales_orders",
    schedule=None,
    catchup=False,
    params=FORM,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["24SevenOffice", "Hypatos"],
    doc_md=ABOUT,
):
    # [START reconcile]
    ReconcileSalesOrdersOperator(
        task_id="reconcile",
        # A run that a person starts need not have a logical date; a retry is about the same days as the first try.
        date_from="{{ params.date_from or macros.ds_add(params.date_to or dag_run.run_after | ds, -30) }}",
        date_to="{{ params.date_to or dag_run.run_after | ds }}",
        statuses="{{ (params.statuses or []) | tojson }}",
        expected="{{ params.order_keys | tojson if params.order_keys else '' }}",
        external_id_format="{{ params.external_id_format or '' }}",
        report_path="{{ params.report_path.rstrip('/') }}/{{ run_id | replace(':', '-') }}",
        report_url="{{ params.report_url.rstrip('/') ~ '/' ~ run_id | replace(':', '-') | urlencode "
        "if params.report_url else '' }}",
        unmarked="{{ params.unmarked }}",
        not_invoiced_after_days="{{ params.not_invoiced_after_days }}",
        not_posted_after_days="{{ params.not_posted_after_days }}",
        grace_minutes="{{ params.grace_minutes }}",
        check_lines="{{ params.check_lines }}",
        repair="{{ params.repair }}",
        repair_classes="{{ (params.repair_classes or []) | tojson }}",
    )
    # [END reconcile]
# [END dag]
