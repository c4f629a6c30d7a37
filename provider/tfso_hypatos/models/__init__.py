"""What travels between Airflow, 24SevenOffice and Hypatos."""
