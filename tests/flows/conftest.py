from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.flows.feed import Feed
from tests.flows.office import Office


@pytest.fixture
def office() -> Office:
    """Return a server with twenty orders that are waited for, invoiced an hour ago; listed once."""
    office = Office(20)
    office.waits(*range(1, 21))
    office.round()
    return office


@pytest.fixture
def feed() -> Feed:
    """Return a feed that has listed once."""
    feed = Feed()
    assert feed.news() == []
    return feed
