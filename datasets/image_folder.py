"""Folders of images: a folder of PNG or JPEG files for each class."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.datasets.image_file import OTHER_SUFFIXES, SUFFIXES, ImageFile, reading_images
from sparsecpu.datasets.labels import given_split
from sparsecpu.errors import DataError, DataWarning
from sparsecpu.reading.files import refusing
from sparsecpu.reading.memory import check_memory

#: Folders of samples that are held out, where there is one for training; the first of them counts.
_HELD_OUT = ("test", "val", "valid", "validation")


def is_image(path: Path) -> bool:
    """Return True if a file is named as one image is."""
    return path.name.lower().endswith((*SUFFIXES, *OTHER_SUFFIXES))


def is_image_folder(folder: Path) -> bool:
    """Return True if a folder holds folders with images, perhaps in one named "train"."""
    return _has_classes(folder) or _is_split(folder)


def _is_split(folder: Path) -> bool:
    return _has_classes(folder / "train")


def _has_classes(folder: Path) -> bool:
    return folder.is_dir() and any(map(_has_images, _entries(folder)[0]))


def _has_images(folder: Path) -> bool:
    return any(is_image(path) for path in _entries(folder)[1])


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders in a folder, and the files, sorted by name; hidden ones are left out."""
    folders: list[Path] = []
    files: list[Path] = []
    with refusing(folder, DataError, "a folder"), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith((".", "__MACOSX")):
                (folders if entry.is_dir() else files).append(Path(entry.path))
    return sorted(folders), sorted(files)


def read_images(folder: Path | str) -> Dataset:
    """Read a folder that has a folder of PNG or JPEG images for each class.

    There may be such folders in ``train`` and in ``test`` (or ``val``, ``valid``, ``validation``);
    otherwise a fifth of the images is held out for testing. Needs Pillow.

    Parameters
    ----------
    folder : path
        Holds ``cat/1.png``, ``dog/1.png`` and so on; the names of the folders are the labels.

    Raises
    ------
    DataError
        If an image is damaged, of another size than the first one, transparent, or not of 8 bits.

    Notes
    -----
    Images have one channel if all are grey, else three: red, green, blue. They are not turned as a
    camera's notes (EXIF) may say.
    """
    folder = Path(folder)
    parts = [folder]
    if _is_split(folder):
        parts = [folder / "train", _held_out(folder)]
    listed = [_listed(part) for part in parts]
    with reading_images():
        files = [[ImageFile(path) for path in paths] for paths, _ in listed]
        flat = [file for part in files for file in part]
        if not flat:
            raise DataError(f"{folder} has no folders of images; expected one for each class")
        _check_sizes(flat)
        channels = 1 if all(file.is_grey for file in flat) else 3
        width, height = flat[0].size
        needed = len(flat) * channels * width * height
        check_memory(needed * (1 if len(parts) == 2 else 2), f"{folder}", DataError)
        pixels = [_pixels(part, channels) for part in files]
    called, shape = folder.absolute().name, (channels, height, width)
    scaling = "channel" if channels == 3 else "global"
    labels = [np.array(names) for _, names in listed]
    if len(parts) == 1:
        return split(called, pixels[0], labels[0], "classification", input_shape=shape,
                     scaling=scaling)  # fmt: skip
    dataset = given_split(called, pixels[0], labels[0], pixels[1], labels[1], "classification",
                          shape)  # fmt: skip
    return replace(dataset, scaling=scaling)


def _held_out(folder: Path) -> Path:
    """Return the folder of the images to test on, beside that of the images to train on."""
    found = [folder / name for name in _HELD_OUT if _has_classes(folder / name)]
    if not found:
        one = f"or name {folder / 'train'} alone"
        raise DataError(f"{folder} has train but no test with images; {one}")
    if found[1:]:
        unused = " and ".join(map(str, found[1:]))
        warnings.warn(f"{unused}: left out; {found[0]} is for testing", DataWarning, stacklevel=3)
    return found[0]


def _listed(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the images in the folders of all classes, and the class of each."""
    paths: list[Path] = []
    labels: list[str] = []
    for place in _entries(folder)[0]:
        if not place.name.isprintable():
            raise DataError(f"{place} has a name that is not text")
        folders, files = _entries(place)
        if folders:
            raise DataError(f"{place} has a folder {folders[0].name}; expected images alone")
        images = [path for path in files if is_image(path)]
        if not images:
            raise DataError(f"{place} has no .png, .jpg or .jpeg file; expected images of a class")
        paths += images
        labels += [place.name] * len(images)
    return paths, labels


def _check_sizes(files: list[ImageFile]) -> None:
    """Raise ``DataError`` unless all images have one size."""
    first = files[0]
    for file in files:
        if file.size != first.size:
            sizes = [f"{path} has {w} x {h} pixels" for path, (w, h) in
                     ((one.path, one.size) for one in (first, file))]  # fmt: skip
            raise DataError(f"{' and '.join(sizes)}; expected one size: resize or crop them first")


def _pixels(files: list[ImageFile], channels: int) -> np.ndarray:
    """Return the pixels of images, uint8 of shape (images, channels * height * width)."""
    width, height = files[0].size
    x = np.empty((len(files), channels, height, width), dtype=np.uint8)
    for row, file in zip(x, files, strict=True):
        row[...] = file.read(channels)
    return x.reshape(len(files), -1)
