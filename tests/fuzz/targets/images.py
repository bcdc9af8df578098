"""Folders of PNG and JPEG images."""

import importlib.util
import io
import struct
import zlib

import numpy as np

from sparsecpu.datasets import open_data
from tests.fuzz.alter_bytes import alter_bytes, boundary
from tests.fuzz.promises import check_dataset
from tests.fuzz.target import Target

_NAMES = [f"{label}/{i}" for label in ("cat", "dog") for i in range(3)]


def _folder(mode, kind, suffix):
    """Return images of one kind, as files of a folder."""
    from PIL import Image

    rng, files = np.random.default_rng(0), {}
    for name in _NAMES:
        pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        stream = io.BytesIO()
        options = {"progressive": True} if name.endswith("1") and kind == "JPEG" else {}
        Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
        files[name + suffix] = stream.getvalue()
    return files


class Images(Target):
    """``open_data`` on a folder of images for each class."""

    name = "images"

    def available(self):
        return importlib.util.find_spec("PIL") is not None

    def valid(self):
        made = [_folder(mode, "PNG", ".png") for mode in ("L", "RGB", "P", "1", "RGBA", "LA")]
        made += [_folder(mode, "JPEG", ".jpg") for mode in ("L", "RGB")]
        train = {f"train/{name}": content for name, content in made[0].items()}
        return [*made, train | {f"test/{name}": content for name, content in made[1].items()}]

    def case(self, rng):
        files = dict(rng.choice(self._kept()))
        for name in rng.sample(sorted(files), rng.choice((1, 1, 2, len(files)))):
            files[name] = _altered(rng, files[name])
        if rng.random() < 0.1:
            name = rng.choice(sorted(files))
            other = rng.choice((f"{name}/0.png", "emu/0.gif", "train/cat/0.png", "0.png", "x/.png"))
            files[other] = files.pop(name)
        return files

    def _kept(self):
        if not hasattr(self, "_made"):
            self._made = self.valid()
        return self._made

    def read(self, folder):
        data = open_data(str(folder))
        check_dataset(data)
        assert data.x_train.dtype == np.uint8
        assert data.input_shape[0] in (1, 3)


def _altered(rng, content):
    if content.startswith(b"\x89PNG") and rng.random() < 0.7:
        return _altered_png(rng, content)
    return alter_bytes(rng, content, content)


def _altered_png(rng, content):
    """Change a chunk of a PNG, whose checksum is right again, or the chunks' order."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    i, choice = rng.randrange(len(chunks)), rng.randrange(6)
    kind, data = chunks[i]
    if choice == 0 and chunks[0][0] == b"IHDR":
        head = bytearray(chunks[0][1])
        place = rng.choice((0, 4))
        head[place : place + 4] = struct.pack(">I", boundary(rng) & 0xFFFFFFFF)
        chunks[0] = (b"IHDR", bytes(head))
    elif choice == 1:
        head = bytearray(chunks[0][1])
        head[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = (b"IHDR", bytes(head))
    elif choice == 2:
        chunks.insert(i, _extra(rng))
    elif choice == 3:
        del chunks[i]
    elif choice == 4:
        rng.shuffle(chunks)
    else:
        chunks[i] = (kind, alter_bytes(rng, data, data))
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _extra(rng):
    """Return a chunk that some PNGs have: transparency, text, colours, notes of a camera."""
    packed = zlib.compress(bytes(1 << 20))
    return rng.choice((
        (b"tRNS", bytes(rng.randrange(7))), (b"zTXt", b"a\0\0" + packed), (b"tEXt", b"a\0b"),
        (b"iCCP", b"a\0\0" + packed), (b"iTXt", b"a\0\1\0\0\0" + packed), (b"gAMA", b"\0\0\0\1"),
        (b"eXIf", b"MM\0*" + bytes(rng.randrange(40))), (b"acTL", struct.pack(">2I", 2, 0)),
        (b"fdAT", bytes(9)), (b"IDAT", packed), (b"IEND", b""), (b"PLTE", bytes(9)),
    ))  # fmt: skip


TARGET = Images()
