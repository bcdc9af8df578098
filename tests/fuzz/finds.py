"""What was found: one find, its file, and the corpus of those that were mended."""

import base64
import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.target import Files

#: Cases that once were finds, a file per target; the suite tries them all.
CORPUS = Path(__file__).parent / "corpus"


def pack(files: Files) -> dict[str, str]:
    """Return files as text, a line for each."""
    return {name: base64.b85encode(zlib.compress(c, 9)).decode() for name, c in files.items()}


def unpack(packed: dict[str, str]) -> Files:
    """Return the files that ``pack`` was given."""
    return {name: zlib.decompress(base64.b85decode(text)) for name, text in packed.items()}


@dataclass(frozen=True)
class Find:
    """A case that went wrong, with its files (none where an equal find has them)."""

    target: str
    seed: int
    number: int
    kind: str
    where: str
    details: str
    files: Files

    def to_json(self) -> dict:
        """Return plain values."""
        return {**asdict(self), "files": pack(self.files)}

    @classmethod
    def from_json(cls, found: dict) -> "Find":
        """Return what ``to_json`` wrote."""
        return cls(**{**found, "files": unpack(found["files"])})

    def write(self, folder: Path) -> Path:
        """Write the find and its files into a folder of its own."""
        short = f"{zlib.crc32(self.where.encode()):08x}"
        path = folder / f"{self.target}-{self.kind}-{short}"
        path.mkdir(parents=True, exist_ok=True)
        (path / "find.json").write_text(json.dumps(self.to_json(), indent=1) + "\n")
        (path / "details.txt").write_text(self.details, encoding="utf-8", errors="replace")
        for name, content in self.files.items():
            (path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
            (path / "files" / name).write_bytes(content)
        return path


def corpus(target: str) -> dict[str, Files]:
    """Return a target's cases in the corpus, by name."""
    path = CORPUS / f"{target}.json"
    held = json.loads(path.read_text()) if path.is_file() else {}
    return {name: unpack(files) for name, files in held.items()}


def keep(target: str, name: str, files: Files) -> None:
    """Add a case to the corpus."""
    cases = {**corpus(target), name: files}
    text = json.dumps({n: pack(cases[n]) for n in sorted(cases)}, indent=0)
    (CORPUS / f"{target}.json").write_text(text + "\n")
