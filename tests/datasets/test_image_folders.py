"""Folders that have a folder of images for each class."""

import shutil
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from commands import TINY, run
from PIL import Image

from sparsecpu.datasets import open_data, read_images
from sparsecpu.errors import DataError, DataWarning, MissingExtraError


def write(folder, n=4, *, mode="L", size=(6, 5), suffix=".png", classes=("cat", "dog"), seed=0):
    """Write images of noise; return them by their names in the folder."""
    rng, made = np.random.default_rng(seed), {}
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            made[f"{name}/{i}"] = Image.fromarray(pixels).convert(mode)
            made[f"{name}/{i}"].save(folder / name / f"{i}{suffix}")
    return made


def joined(data):
    """Return all samples with their labels, in the order of the folder."""
    order = np.argsort(np.r_[np.flatnonzero(~data.held), np.flatnonzero(data.held)])
    x, y = np.concatenate([data.x_train, data.x_test]), np.r_[data.y_train, data.y_test]
    return x[order], data.classes[y[order]]


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("1", 1), ("LA", 1), ("RGB", 3), ("P", 3), ("RGBA", 3)]
)
def test_every_kind_of_colours_is_read_exactly(mode, channels, tmp_path):
    made = write(tmp_path, mode=mode)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat/notes.txt").write_text("not an image")
    x, y = joined(open_data(str(tmp_path)))
    for row, label, (name, image) in zip(x, y, made.items(), strict=True):
        wanted = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        wanted = wanted if channels == 1 else wanted.transpose(2, 0, 1)
        np.testing.assert_array_equal(row, wanted.ravel())
        assert label == name.split("/")[0]


def test_grey_ones_among_coloured_ones_become_coloured(tmp_path):
    write(tmp_path, classes=("cat",))
    write(tmp_path, mode="RGB", suffix=".JPG", classes=("dog",))
    data = open_data(str(tmp_path))
    assert (data.input_shape, data.scaling) == ((3, 5, 6), "channel")
    x, y = joined(data)
    assert (x[y == "cat"].reshape(-1, 3, 30).std(axis=1) == 0).all()


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_parts_for_training_and_testing(held_out, tmp_path):
    write(tmp_path / "train", 6)
    write(tmp_path / held_out, 2, seed=1)
    write(tmp_path / "validation", 3, seed=2)
    with pytest.warns(DataWarning, match="validation: left out"):
        data = open_data(str(tmp_path))
    assert (len(data.x_train), len(data.x_test), data.own_test) == (12, 4, True)
    write(tmp_path / held_out, 2, classes=("emu",))
    shutil.rmtree(tmp_path / "validation")
    with pytest.raises(DataError, match="emu"):
        open_data(str(tmp_path))


def test_images_are_trained_on_and_predicted(tmp_path):
    write(tmp_path / "pets", mode="RGB", size=(8, 8))
    out = tmp_path / "run"
    assert run("train", tmp_path / "pets", *TINY, "--out", out).exit_code == 0
    done = run("predict", out, tmp_path / "pets", "--quiet")
    assert done.exit_code == 0, done.output
    assert set(done.output.split()) <= {"cat", "dog"}
    write(tmp_path / "grey", size=(8, 8))
    assert run("predict", out, tmp_path / "grey", "--quiet").exit_code == 2


def other_size(folder):
    write(folder, 1, size=(5, 6), classes=("dog",), suffix=".jpg")
    return r"cat.0\.png has 6 x 5 .*dog.0\.jpg has 5 x 6"


def see_through(folder):
    image = Image.open(folder / "dog/0.png").convert("RGBA")
    image.putpixel((2, 2), (1, 2, 3, 254))
    image.save(folder / "dog/0.png")
    return r"dog.0\.png has transparent"


def see_through_colour(folder):
    Image.new("L", (6, 5)).save(folder / "dog/0.png", transparency=0)
    return r"dog.0\.png has transparent"


def sixteen_bits(folder):
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(folder / "dog/0.png")
    return r"dog.0\.png has 16 bits"


def printed(folder):
    Image.new("CMYK", (6, 5)).save(folder / "dog/0.jpg")
    return r"dog.0\.jpg has .*CMYK"


def moving(folder):
    frames = [Image.new("L", (6, 5), shade) for shade in (0, 255)]
    frames[0].save(folder / "dog/0.png", save_all=True, append_images=frames[1:])
    return r"dog.0\.png is an animation"


def of_another_kind(folder):
    Image.new("L", (6, 5)).save(folder / "dog/0.bmp")
    return r"dog.0\.bmp"


def cut_off(folder):
    path = folder / "dog/0.png"
    path.write_bytes(path.read_bytes()[:-25])
    return r"dog.0\.png"


def claiming_too_much(folder):
    for path in folder.rglob("*.png"):  # all alike, so that no size differs
        head = struct.pack(">2I5B", 30_000, 30_000, 8, 0, 0, 0, 0)
        chunk = b"IHDR" + head
        content = path.read_bytes()
        checksum = struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(content[:12] + chunk + checksum + content[33:])
    return r"cat.0\.png"


def no_images(folder):
    (folder / "emu").mkdir()
    return "emu has no"


def deeper(folder):
    (folder / "dog/small").mkdir()
    return "dog has a folder small"


def one_class(folder):
    for path in (folder / "dog").iterdir():
        path.unlink()
    (folder / "dog").rmdir()
    return "one class"


def only_train(folder):
    (folder / "train").mkdir()
    for name in ("cat", "dog"):
        (folder / name).rename(folder / "train" / name)
    return "train but no test"


def without_classes(folder):
    for name in ("cat", "dog"):
        for path in (folder / name).iterdir():
            path.rename(folder / f"{name}-{path.name}")
        (folder / name).rmdir()
    return "a folder of them for each class"


@pytest.mark.parametrize(
    "damage",
    [other_size, see_through, see_through_colour, sixteen_bits, printed, moving, of_another_kind,
     cut_off, claiming_too_much, no_images, deeper, one_class, only_train, without_classes],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(damage, tmp_path):
    write(tmp_path)
    said = damage(tmp_path)
    with pytest.raises(DataError, match=said) as caught:
        open_data(str(tmp_path))
    assert str(caught.value).isprintable()


def test_no_more_is_asked_for_than_there_is_though_a_chunk_claims_gigabytes(tmp_path):
    write(tmp_path)
    path = tmp_path / "dog/0.png"
    content = path.read_bytes()
    path.write_bytes(content[:33] + struct.pack(">I", 2**31 - 1) + content[37:])
    tracemalloc.start()
    try:
        open_data(str(tmp_path))  # its pixels are whole
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_memory_is_looked_at_before_images_are_read(tmp_path, monkeypatch):
    from sparsecpu.datasets.image_file import ImageFile

    write(tmp_path)
    monkeypatch.setattr("sparsecpu.reading.memory._SMALL", 0)
    monkeypatch.setattr("sparsecpu.reading.memory.free_memory", lambda: 2 * 8 * 30 - 1)
    monkeypatch.setattr(ImageFile, "read", None)
    with pytest.raises(DataError, match="memory"):
        open_data(str(tmp_path))


def test_without_pillow_one_line_says_how_to_install_it(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"sparsecpu\[images\]"):
        read_images(tmp_path)
