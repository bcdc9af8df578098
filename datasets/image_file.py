"""One PNG or JPEG file, read by Pillow."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import DataError, MissingExtraError
from sparsecpu.reading.archive import MOST_DEFLATED
from sparsecpu.reading.files import file_size, open_regular, refusing
from sparsecpu.reading.memory import check_memory

SUFFIXES = (".png", ".jpg", ".jpeg")
#: Images of other kinds, which are refused: nobody means to leave them out.
OTHER_SUFFIXES = (
    ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2", ".heic", ".avif",
)  # fmt: skip
#: Ways to keep colours that are read, by Pillow's names for them: grey ones, and others.
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA")
#: A PNG's first bytes; behind them at these places, the bits of a number and the kind of colours.
_PNG, _BITS, _KIND = b"\x89PNG\r\n\x1a\n", 24, 25
_NUMBERS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@contextlib.contextmanager
def reading_images() -> Iterator[None]:
    """Let Pillow refuse what it would only warn of, inside the block."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("pillow", "a folder of images", "images") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


class ImageFile:
    """An image: its size and mode by its header; the pixels are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as (content, image):
            self.size, self.is_grey = image.size, image.mode in _GREY
            self._check(content, image)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[bytes, Any]]:
        from PIL import Image, UnidentifiedImageError

        path = self.path
        with refusing(path, DataError, "a PNG or JPEG image"):
            with open_regular(path) as file:
                check_memory(file_size(file), f"{path}", DataError)
                content = file.read()
            try:
                # From memory: of a file, as many bytes would be asked for as a chunk claims.
                image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
            except UnidentifiedImageError:
                raise DataError(f"{path} is damaged, or no PNG or JPEG image") from None
            with image:
                yield content, image

    def _check(self, content: bytes, image: Any) -> None:
        """Raise ``DataError`` if an image is not of 8 bits, or has fewer bytes than it needs."""
        bits, least = 8, 8
        if content.startswith(_PNG):
            bits, least = content[_BITS], content[_BITS] * _NUMBERS.get(content[_KIND], 1)
            if getattr(image, "is_animated", False):
                raise DataError(f"{self.path} is an animation; expected one image")
        if bits > 8 or image.mode not in (*_GREY, *_COLOUR):
            found = f"{bits} bits" if bits > 8 else f"colours of the kind {image.mode}"
            expected = "grey or RGB of 8 bits: convert it first"
            raise DataError(f"{self.path} has {found}; expected {expected}")
        width, height = image.size
        if width * height * least > 8 * MOST_DEFLATED * len(content):
            raise DataError(f"{self.path} claims more pixels than it can have")

    def read(self, channels: int) -> np.ndarray:
        """Return the pixels, uint8 of shape (channels, height, width); 1 channel or 3."""
        with self._opened() as (_, image):
            if image.size != self.size:
                raise DataError(f"{self.path} changed while it was read")
            if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
                image = image.convert("RGBA")
                if image.getchannel("A").getextrema()[0] < 255:
                    expected = "expected none: put it on a background first"
                    raise DataError(f"{self.path} has transparent pixels; {expected}")
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
