"""The folder of a comparison: its plan, and a line per run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sparsecpu.errors import FileFormatError, ResumeError
from sparsecpu.experiments.output_folder import check_empty, opened
from sparsecpu.files.locks import FolderLock
from sparsecpu.files.writing import write_text


class ResultFolder:
    """Results of a comparison, a line each; the other files are replaced whole."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lock = FolderLock(self.path)

    def open(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Begin a comparison, or go on with the same one; return ``plan.json`` as it is now.

        The folder stays locked until ``lock`` is released.
        """
        with opened(self.lock) as held:
            if "plan.json" in held:
                return self._known(plan)
            check_empty(self.path, held)
            self.write("plan.json", json.dumps({"plan": plan}, indent=2) + "\n")
        return {"plan": plan}

    def _known(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Return the plan that was begun with; refuse to go on with another one."""
        file = self.path / "plan.json"
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            known = state["plan"]
        except (OSError, ValueError, KeyError, TypeError):
            raise FileFormatError(f"{file} does not describe a comparison") from None
        changed = [k for k in plan if known.get(k) != json.loads(json.dumps(plan[k]))]
        if changed:
            raise ResumeError(
                f"{self.path} holds a comparison with other {', '.join(changed)}; "
                "choose another folder with --out"
            )
        return state

    def results(self) -> list[dict[str, Any]]:
        """Return the runs that are done; drop a line that was cut off and what follows it."""
        found, file = [], self.path / "results.jsonl"
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:
                    break
            self.write("results.jsonl", "".join(json.dumps(r) + "\n" for r in found))
        return found

    def append(self, result: dict[str, Any]) -> None:
        """Add the result of a run."""
        with open(self.path / "results.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def write(self, name: str, text: str) -> None:
        """Replace a file by this text."""
        write_text(self.path / name, text)
