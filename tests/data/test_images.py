import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from data.errors import DataError
from data.images import read_image


def test_every_mode_becomes_rgb_uint8(tmp_path):
    gray16 = np.full((4, 6), 0x8001, dtype=np.uint16)
    images = {
        "gray.png": (Image.new("L", (6, 4), 128), [128] * 3),
        "gray.jpg": (Image.new("L", (6, 4), 128), [128] * 3),
        "bilevel.png": (Image.new("1", (6, 4), 1), [255] * 3),
        "rgba.png": (Image.new("RGBA", (6, 4), (10, 20, 30, 0)), [10, 20, 30]),
        "palette.png": (
            Image.new("RGB", (6, 4), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE),
            [10, 20, 30],
        ),
        "cmyk.jpg": (Image.new("CMYK", (6, 4), (0, 0, 0, 0)), [255] * 3),
        "sixteen.png": (Image.fromarray(gray16), [128] * 3),
    }
    for name, (image, color) in images.items():
        image.save(tmp_path / name)
        tensor = read_image(tmp_path / name, (4, 6))
        assert tensor.shape == (3, 4, 6), name
        assert tensor.dtype == torch.uint8, name
        assert tensor[:, 0, 0].tolist() == color, name


def test_exif_orientation_is_ignored(tmp_path):
    """Boxes refer to the stored grid: an image marked "rotate by 90 degrees" keeps its stored
    height and width.
    """
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", (4, 6)).shape == (3, 4, 6)


def test_truncated_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.png"):
        Image.fromarray(noise).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=f"{name}: the image cannot be decoded"):
            read_image(tmp_path / name)


def test_what_is_no_image(tmp_path):
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "moving.jpg", format="GIF")
    for name, says in (
        ("page.jpg", "not a JPEG, PNG, WEBP, BMP or TIFF image"),
        ("empty.jpg", "is empty"),
        ("folder.jpg", "a folder"),
        ("moving.jpg", "not a JPEG, PNG, WEBP, BMP or TIFF image"),
        ("missing.jpg", "does not exist"),
    ):
        with pytest.raises(DataError, match=f"{name}: .*{says}"):
            read_image(tmp_path / name)


def test_a_promise_of_too_many_pixels_is_refused_before_decoding(tmp_path):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for side in (10_000, 50_000):  # Pillow warns about the first and stops at the second
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b""))
        with pytest.raises(DataError, match=r"bomb.png: the image has, .* more than 89 million"):
            read_image(tmp_path / "bomb.png")
