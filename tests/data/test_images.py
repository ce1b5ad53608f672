import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from data.errors import DataError
from data.images import pixels_of, read_image, read_image_file, upright_size


@pytest.mark.fault("R37")
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


CORNERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))  # upright: upper left, upper right, lower left
STORED = {  # for each tag, how an upright 40 x 24 image lies in the file
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def write_turned(path, tag):
    """An image whose upright corners are CORNERS, stored so that the tag turns it upright."""
    image = Image.new("RGB", (40, 24))
    for corner, color in zip(((0, 0), (32, 0), (0, 16)), CORNERS, strict=True):
        image.paste(color, (*corner, corner[0] + 8, corner[1] + 8))
    exif = Image.Exif()
    exif[0x0112] = tag
    STORED[tag](image).save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))


def corners(pixels):
    """Which of red, green and blue is largest in the three corners."""
    return [pixels[:, y, x].argmax().item() for y, x in ((3, 3), (3, -4), (-4, 3))]


@pytest.mark.fault("R37")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_an_image_is_turned_upright_by_each_of_the_eight_tags(tmp_path, tag, suffix):
    path = tmp_path / f"a{suffix}"
    write_turned(path, tag)
    for size in (None, (24, 40)):  # no labels, and labels of the upright image
        image = read_image_file(path, size)
        assert image.pixels.shape == (3, 24, 40)
        assert corners(image.pixels) == [0, 1, 2]
        assert (image.orientation, image.turned) == (tag, tag != 1)
    assert upright_size(path) == (24, 40)


@pytest.mark.parametrize("tag", [5, 6, 7, 8])
def test_labels_of_the_stored_size_keep_the_image_as_it_is_stored(tmp_path, tag):
    write_turned(tmp_path / "a.jpg", tag)
    image = read_image_file(tmp_path / "a.jpg", (40, 24))
    assert image.pixels.shape == (3, 40, 24)
    assert (image.turned, image.sizes_decide) == (False, True)


@pytest.mark.parametrize("tag", [1, 2, 3, 4])
def test_a_size_that_no_reading_has_is_refused(tmp_path, tag):
    write_turned(tmp_path / "a.jpg", tag)
    with pytest.raises(DataError, match=r"the image is 40 x 24 px .*, but its annotation says 24"):
        read_image(tmp_path / "a.jpg", (40, 24))
    assert not read_image_file(tmp_path / "a.jpg", (24, 40)).sizes_decide


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # of Pillow
def test_damaged_exif_plays_no_part(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg").shape == (3, 4, 6)


@pytest.mark.fault("R37")
@pytest.mark.parametrize(
    ("largest", "bits", "expected"),
    [(200, 8, 200), (4095, 12, 255), (2048, 12, 128), (65535, 16, 255), (0, 8, 0)],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_gray_of_more_than_8_bits_is_scaled_to_the_bits_in_use(
    tmp_path, suffix, largest, bits, expected
):
    values = np.zeros((4, 6), dtype=np.uint16)
    values[1, 2] = largest
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    image = read_image_file(tmp_path / f"a{suffix}", (4, 6))
    assert image.bits == bits
    assert image.pixels[:, 1, 2].tolist() == [expected] * 3
    assert image.pixels.sum() == 3 * expected


def chunk(kind, body):
    """A part of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def write_png(path, header, body):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b""))


def test_colors_of_16_bits_are_scaled_too(tmp_path):
    """A pixel (4095, 2048, 0) of 12 bits in a PNG of 16, which Pillow would make almost black."""
    rows = zlib.compress(b"\0" + struct.pack(">HHH", 4095, 2048, 0))
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    write_png(tmp_path / "a.png", header, chunk(b"IDAT", rows))
    image = read_image_file(tmp_path / "a.png", (1, 1))
    assert (image.pixels.flatten().tolist(), image.bits) == ([255, 128, 0], 12)
    with pytest.raises(DataError, match="Pillow keeps the high byte, so that it may be black"):
        pixels_of(Image.open(tmp_path / "a.png"))


def test_floating_point_values_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 6), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a.tif: the image holds floating-point values"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_every_format_is_read(tmp_path, suffix):
    Image.new("RGB", (6, 4), (250, 10, 10)).save(tmp_path / f"a{suffix}")
    pixels = read_image(tmp_path / f"a{suffix}", (4, 6))
    assert pixels.shape == (3, 4, 6)
    assert pixels.float().mean((1, 2)).tolist() == pytest.approx([250, 10, 10], abs=6)


def test_alpha_is_dropped_and_palettes_are_colors(tmp_path):
    clear = Image.new("RGBA", (6, 4), (10, 20, 30, 0))
    clear.save(tmp_path / "a.webp", lossless=True, exact=True)
    clear.convert("RGB").quantize(4).save(tmp_path / "b.png", transparency=0)
    Image.new("LA", (6, 4), (10, 0)).save(tmp_path / "c.png")
    for name, color in (("a.webp", [10, 20, 30]), ("b.png", [10, 20, 30]), ("c.png", [10] * 3)):
        assert read_image(tmp_path / name)[:, 0, 0].tolist() == color


@pytest.mark.fault("R33")
def test_truncated_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.png"):
        Image.fromarray(noise).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=f"{name}: the image cannot be decoded"):
            read_image(tmp_path / name)


@pytest.mark.fault("R35")
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


@pytest.mark.fault("R36")
def test_a_promise_of_too_many_pixels_is_refused_before_decoding(tmp_path):
    for side in (10_000, 50_000):  # Pillow warns about the first and stops at the second
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        write_png(tmp_path / "bomb.png", header, b"")
        with pytest.raises(DataError, match=r"bomb.png: the image has, .* more than 89 million"):
            read_image(tmp_path / "bomb.png")
