"""Image files to tensors: JPEG and PNG only, checked before and after decoding.

The EXIF orientation is ignored on purpose: the boxes of COCO and VOC refer to the pixel grid as it
is stored in the file, and rotating the image would leave them behind.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from data.errors import DataError

FORMATS = ("JPEG", "PNG")


def open_image(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """The decoded Pillow image of a file.

    Args:
        path: a JPEG or PNG file; the content decides, not the extension.
        size: the (height, width) that the annotation gives; compared before any pixel is decoded,
            so that a file whose header promises a huge image costs nothing. None: any size up to
            Pillow's limit against such files.

    Raises:
        DataError: the file is missing, unreadable, damaged, of another format, too large, or of
            another size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
        with image:
            width, height = image.size
            if size is not None and (height, width) != size:
                raise DataError(
                    f"{path}: the image is {width} x {height} px (width x height), but its"
                    f" annotation says {size[1]} x {size[0]}; replace the image or correct the"
                    " annotation."
                )
            image.load()
            return image
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the image file does not exist; restore it or remove its entry."
        ) from error
    except IsADirectoryError as error:
        raise DataError(
            f"{path}: this is a folder, not an image file; restore it or remove its entry."
        ) from error
    except UnidentifiedImageError as error:
        content = (
            "is empty" if path.stat().st_size == 0 else f"is not a {' or '.join(FORMATS)} image"
        )
        raise DataError(f"{path}: the file {content}; restore it or remove its entry.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{path}: the image promises more pixels than is safe to decode ({error})."
        ) from error
    except DataError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
    ) as error:  # what Pillow raises for damaged files
        raise DataError(
            f"{path}: the image cannot be decoded ({error}); restore it or remove its entry."
        ) from error


def to_tensor(image: Image.Image) -> Tensor:
    """RGB (3, H, W) uint8 of a Pillow image: gray is repeated, alpha dropped, of 16 bits the high
    byte is kept.
    """
    if image.mode.startswith("I"):
        gray = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(gray)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def read_image(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """One image file as RGB (3, H, W) uint8; ``size`` and errors as in `open_image`."""
    return to_tensor(open_image(path, size))
