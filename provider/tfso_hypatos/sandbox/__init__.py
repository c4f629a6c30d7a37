"""A local stand-in for 24SevenOffice sales orders and Hypatos enrichment, for development and tests."""
