"""The history of a run: a line of JSON per epoch, with what topology updates did."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

from sparsecpu.errors import FileFormatError
from sparsecpu.files.documents import read_json_lines
from sparsecpu.files.writing import write_text
from sparsecpu.step.update_records import RECORD


class HistoryFile:
    """The file of a history, whose last line may be cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Return the records, one per epoch in order; none if there is no file."""
        records = read_json_lines(self.path, RECORD)
        for before, after in pairwise(records):
            if after["epoch"] != before["epoch"] + 1:
                raise FileFormatError(
                    f"{self.path}: epoch {after['epoch']} follows epoch {before['epoch']}; "
                    "without the file, the run goes on with a new one"
                )
        return records

    def first(self, epochs: int) -> list[dict[str, Any]]:
        """Return the records of so many epochs; refuse a file that lacks any of the last ones."""
        records = [record for record in self.read() if record["epoch"] <= epochs]
        if self.path.exists() and epochs and (not records or records[-1]["epoch"] != epochs):
            raise FileFormatError(
                f"{self.path} ends before epoch {epochs}, which is done; "
                "without the file, the run goes on with a new one"
            )
        return records

    def updates(self) -> list[dict[str, Any]]:
        """Return all topology updates."""
        return [update for record in self.read() for update in record.get("updates", [])]

    def write(self, records: list[dict[str, Any]]) -> None:
        """Replace the history by these records."""
        write_text(self.path, "".join(json.dumps(r) + "\n" for r in records))

    def append(self, record: dict[str, Any]) -> None:
        """Add the record of an epoch."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())  # before the checkpoint, which must not be ahead of it
