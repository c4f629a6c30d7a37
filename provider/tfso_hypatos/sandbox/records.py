"""The enrichment records of Hypatos. No HTTP."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SPACE = uuid.UUID("0c9d1f4e-3c55-4f6c-8f6a-6f1f1f6f2c77")


@dataclass(slots=True)
class Record:
    """One enrichment record.

    :param id: internal id.
    :param value: the record as the API returns it.
    :param deleted: marked as deleted.
    :param writes: how often it was written.
    """

    id: str
    value: dict[str, Any]
    deleted: bool = False
    writes: int = 0

    @property
    def key(self) -> str:
        """Its external id."""
        return str(self.value["externalId"])


class Records:
    """The enrichment sales orders in Hypatos, by external id."""

    def __init__(self) -> None:
        self.revision = 0
        self._records: dict[str, Record] = {}

    def all(self) -> list[Record]:
        """Return every record, deleted ones too."""
        return list(self._records.values())

    def find(self, external_id: str) -> Record | None:
        """Return the record with this key unless it is deleted.

        :param external_id: the key.
        """
        record = self._records.get(external_id)
        return None if record is None or record.deleted else record

    def put(self, value: Mapping[str, Any]) -> Record:
        """Store a record whole; a deleted one comes back to life.

        :param value: the record with its ``externalId``.
        """
        key = str(value["externalId"])
        record = self._records.setdefault(key, Record(str(uuid.uuid5(_SPACE, f"record/{key}")), {}))
        record.value = copy.deepcopy(dict(value))
        record.deleted = False
        record.writes += 1
        self.revision += 1
        return record

    def delete(self, record: Record) -> None:
        """Mark a record as deleted.

        :param record: the record.
        """
        record.deleted = True
        self.revision += 1
