"""Reading, resizing and batching photos, with 0, 1 and 2 worker processes, beside Pillow and torch
doing the same to one photo after the other in this process.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from data.images import read_image
from data.loader import network_size, test_batches
from data.records import Sample, Target
from experiments.kl_loss.runs import vgg16_voc
from scripts.engine.speed.work import Work

PHOTOS, SIZE = 48, (375, 500)  # of VOC's most common size, px
WORKERS = (0, 1, 2)
CONFIG = vgg16_voc.data


@dataclass(kw_only=True)
class Photos:
    """A data set of JPEG files without objects, each read anew each time."""

    paths: tuple[Path, ...]
    image_ids: tuple[str | int, ...]
    classes: tuple[str, ...] = ("object",)
    skipped: tuple[str, ...] = ()
    category_ids: tuple[int, ...] | None = None
    sizes: tuple[tuple[int, int], ...] = field(default=(SIZE,) * PHOTOS)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
        path = self.paths[index]
        return Sample(image_id=path.name, image=read_image(path), target=nothing)


def write_photos(folder: Path) -> Photos:
    """JPEG files as large as photos of VOC: coarse noise, enlarged."""
    generator = np.random.default_rng(0)
    paths = []
    for index in range(PHOTOS):
        coarse = generator.integers(0, 255, (SIZE[0] // 25, SIZE[1] // 25, 3), np.uint8)
        paths.append(folder / f"{index}.jpg")
        picture = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        picture.save(paths[-1], quality=90)
    return Photos(paths=tuple(paths), image_ids=tuple(path.name for path in paths))


def loading(device: torch.device) -> Iterator[Work]:
    """All photos once, from files to batches of one, resized to 600 px."""
    with TemporaryDirectory() as folder:
        photos = write_photos(Path(folder))
        for workers in WORKERS:
            yield Work(
                part="loading",
                name=f"{SIZE[0]} x {SIZE[1]} px to network size, {workers} worker processes",
                grows="photos",
                size=PHOTOS,
                ours=partial(read_all, photos, workers),
                peer_name="Pillow and interpolate, this process",
                peer=lambda: [decode_and_resize(path) for path in photos.paths],
            )


def read_all(photos: Photos, workers: int) -> None:
    """Every photo once, as a batch of its own."""
    for _ in test_batches(photos, CONFIG, batch_size=1, workers=workers):
        pass


def decode_and_resize(path: Path) -> torch.Tensor:
    """What reading a photo takes at least: decode and resize, (3, H, W) float32."""
    with Image.open(path) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB")))
    wanted = network_size(SIZE, CONFIG)
    image = pixels.permute(2, 0, 1)[None].float()
    return F.interpolate(image, size=wanted, mode="bilinear", align_corners=False)[0]
