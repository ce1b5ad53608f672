"""Image files to tensors, checked before and after decoding.

The EXIF orientation (a tag 1..8 by which a camera says how it was held) follows one rule. An image
is turned upright, as viewers and most labeling tools show it, unless its labels give the size of
the stored pixels and that is another one: then the boxes refer to the stored pixels, and the image
stays as it is stored.

Gray values of more than 8 bits are scaled, not cut: the bits that the image uses become 8, so
values up to 4095 (12 bits) span black to white as values up to 65535 do.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_png

from data.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {  # what turns the stored pixels upright, by the tag; 1 is upright already
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # tags by which height and width change places


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A decoded image file.

    pixels: RGB (3, H, W) uint8. format: Pillow's name. orientation: the EXIF tag, 1 without one.
    turned: whether the pixels were turned by it. sizes_decide: whether stored and upright sizes
    differ, so that labels show which of the two they refer to. bits: that the values use, 8 or
    more. frames: pictures in the file, of which the first is read.
    """

    pixels: Tensor
    format: str
    orientation: int
    turned: bool
    sizes_decide: bool
    bits: int
    frames: int


def read_image(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """One image file as RGB (3, H, W) uint8; ``size`` and errors as in ``read_image_file``."""
    return read_image_file(path, size).pixels


def read_image_file(path: Path, size: tuple[int, int] | None = None) -> ImageFile:
    """An image file, decoded and turned by the rule above.

    Args:
        path: a file in one of FORMATS; the content decides, not the suffix.
        size: the (height, width) that the labels give; compared before any pixel is decoded, so
            that a file whose header promises a huge image costs nothing. None: there are no labels,
            and any size up to Pillow's limit against such files is read.

    Raises:
        DataError: the file is missing, unreadable, damaged, of another format, too large, or of
            another size.
    """
    with _sentences(path), _open(path) as image:
        stored = (image.size[1], image.size[0])
        if size is not None and size not in (stored, stored[::-1]):
            raise _other_size(path, stored, size)
        colors = _is_16_bit_color(image)
        orientation = _orientation(image)
        image.load()
        if orientation == 1:
            orientation = _orientation(image)  # a PNG may have it behind the pixels
        turned_by_pillow = orientation in UPRIGHT and _orientation(image) == 1  # a TIFF
        decides = orientation in SIDEWAYS and stored[0] != stored[1]
        turn = orientation in UPRIGHT and not turned_by_pillow and not (decides and size == stored)
        read = stored[::-1] if turn and orientation in SIDEWAYS else stored
        if size is not None and size != read:
            raise _other_size(path, read, size)
        values = _color_values(path) if colors else _values(image, path)
        frames = getattr(image, "n_frames", 1)
    pixels, bits = eight_bits(values)
    if turn:
        pixels = np.array(Image.fromarray(pixels).transpose(UPRIGHT[orientation]))
    return ImageFile(
        pixels=torch.from_numpy(_rgb(pixels)).permute(2, 0, 1).contiguous(),
        format=image.format or "",
        orientation=orientation,
        turned=turn or turned_by_pillow,
        sizes_decide=decides,
        bits=bits,
        frames=frames,
    )


def pixels_of(image: Image.Image) -> Tensor:
    """An image that Pillow has opened as RGB (3, H, W) uint8, turned upright, as its file is read.

    Raises:
        DataError: it holds floating-point values, or colors of 16 bits, of which Pillow keeps the
            high byte (after ``load`` nothing shows that).
    """
    if _is_16_bit_color(image):
        raise DataError(
            "The image has colors of 16 bits, of which Pillow keeps the high byte, so that it may"
            " be black; give the file instead."
        )
    pixels, _ = eight_bits(_values(ImageOps.exif_transpose(image), "the image"))
    return torch.from_numpy(_rgb(pixels)).permute(2, 0, 1).contiguous()


def upright_size(path: Path) -> tuple[int, int]:
    """The (height, width) of an image file as viewers show it, from its header alone.

    Raises:
        DataError: as ``read_image_file``.
    """
    with _sentences(path), _open(path) as image:
        width, height = image.size
        sideways = _orientation(image) in SIDEWAYS and image.format != "TIFF"
    return (width, height) if sideways else (height, width)


def eight_bits(values: NDArray[np.integer]) -> tuple[NDArray[np.uint8], int]:
    """Values of any integer type as 8 bits, and the bits that they use.

    Bits are shifted out so that the highest one in use becomes the highest of 8: the values of one
    image keep their order and, up to rounding down, their ratios.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False), 8
    bits = max(8, int(values.max(initial=0)).bit_length())
    return (values.clip(min=0) >> (bits - 8)).astype(np.uint8), bits


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colors (H, W, 3) of gray (H, W), or of colors as they are."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def _open(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def _orientation(image: Image.Image) -> int:
    """The EXIF tag if it is one of 2..8, else 1; a damaged EXIF block plays no part."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the image to look for it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tag = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1
    return tag if isinstance(tag, int) and tag in UPRIGHT else 1


def _is_16_bit_color(image: Image.Image) -> bool:
    """Whether a PNG has colors of 16 bits, of which Pillow keeps the high byte only."""
    modes = (str(part[3]) for part in getattr(image, "tile", ()))
    return image.format == "PNG" and image.mode in ("RGB", "RGBA") and "16B" in "".join(modes)


def _color_values(path: Path) -> NDArray[np.integer]:
    """The colors (H, W, 3) of a PNG with 16 bits; alpha is dropped."""
    content = torch.from_numpy(np.fromfile(path, dtype=np.uint8))
    values: NDArray[np.integer] = decode_png(content, mode=ImageReadMode.RGB).numpy()
    return values.transpose(1, 2, 0)


def _values(image: Image.Image, path: Path | str) -> NDArray[np.integer]:
    """Gray values (H, W) of more than 8 bits, else colors (H, W, 3): palettes become colors, alpha
    is dropped.
    """
    if image.mode == "F":
        raise DataError(
            f"{path}: the image holds floating-point values, whose range nothing tells; save it"
            " with 8 or 16 bits."
        )
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.int64)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _other_size(path: Path, found: tuple[int, int], labeled: tuple[int, int]) -> DataError:
    return DataError(
        f"{path}: the image is {found[1]} x {found[0]} px (width x height), but its annotation says"
        f" {labeled[1]} x {labeled[0]}; replace the image or correct the annotation."
    )


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turns what Pillow and the system raise into sentences about ``path``."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the image file does not exist; restore it or remove its entry."
        ) from error
    except IsADirectoryError as error:
        raise DataError(
            f"{path}: this is a folder, not an image file; restore it or remove its entry."
        ) from error
    except UnidentifiedImageError as error:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        content = "is empty" if path.stat().st_size == 0 else f"is not a {known} image"
        raise DataError(f"{path}: the file {content}; restore it or remove its entry.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise DataError(
            f"{path}: the image has, or promises, more than {limit:.0f} million pixels, which is"
            " not safe to decode; make it smaller."
        ) from error
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error) as error:
        raise DataError(  # what Pillow raises for damaged files
            f"{path}: the image cannot be decoded ({error}); restore it or remove its entry."
        ) from error
