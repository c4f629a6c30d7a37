"""Operators for 24SevenOffice and Hypatos."""
