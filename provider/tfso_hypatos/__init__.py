"""Apache Airflow provider for 24SevenOffice and Hypatos."""

__version__ = "0.1.0"
