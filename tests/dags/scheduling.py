"""Asset events and the runs that they start, made by Airflow's own asset manager and scheduler in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from airflow.assets.manager import AssetManager
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.executors.local_executor import LocalExecutor
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import dagrun
from airflow.models.asset import AssetDagRunQueue, AssetEvent, AssetModel
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.sdk import DAG, timezone
from airflow.serialization.definitions.assets import SerializedAssetUniqueKey
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.state import DagRunState
from sqlalchemy import delete, select


def begin_anew(folder: str) -> None:
    """Let Airflow know the DAGs of a folder, none of them paused, and no run and no event."""
    DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]  # Airflow left it untyped
    sync_bag_to_db(DagBag(folder), "dags-folder", None)
    with create_session() as session:
        for table in (AssetDagRunQueue, AssetEvent, DagRun):
            session.execute(delete(table))
        for dag in session.scalars(select(DagModel)):
            dag.is_paused = False


def tell(asset: str, extra: Mapping[str, Any]) -> None:
    """Make an event of an asset, as Airflow does when a trigger or a task has told of one."""
    with create_session() as session:
        model = session.scalars(select(AssetModel).where(AssetModel.name == asset)).one()
        key = SerializedAssetUniqueKey(model.name, model.uri)
        assert AssetManager.register_asset_change(asset=key, extra=dict(extra), session=session) is not None


def schedule(dag_id: str) -> list[str]:
    """Let the scheduler look once for runs to make, and return the new ones of a DAG."""
    executor = LocalExecutor(parallelism=1)  # type: ignore[no-untyped-call]  # Airflow left it untyped
    scheduler = SchedulerJobRunner(Job(), executors=[executor])  # type: ignore[no-untyped-call]  # Airflow left it untyped
    with create_session() as session:
        before = set(session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag_id)))
        with prohibit_commit(session) as guard:  # type: ignore[no-untyped-call]  # Airflow left it untyped
            scheduler._create_dagruns_for_dags(guard, session)
        made = session.scalars(select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after))
        return [run_id for run_id in made if run_id not in before]


def run(dag: DAG, run_id: str) -> Any:
    """Run what the scheduler made, in this process; a task has one try."""
    with _takes(run_id):
        return dag.test()


def clear(run_id: str) -> None:
    """Clear a run as a person does."""
    with create_session() as session:
        clear_task_instances(list(session.scalars(select(TaskInstance).where(TaskInstance.run_id == run_id))), session)


@contextmanager
def _takes(run_id: str) -> Iterator[None]:
    def take(*, dag: Any, session: Any, **_: Any) -> DagRun:
        taken: DagRun = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        taken.dag = dag
        taken.state, taken.start_date = DagRunState.RUNNING, timezone.utcnow()
        for instance in taken.get_task_instances(session=session):
            instance.max_tries = instance.try_number
        session.commit()
        return taken

    with patch.object(dagrun, "get_or_create_dagrun", take):
        yield
