"""Sensors for 24SevenOffice."""
