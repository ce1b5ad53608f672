"""The public data sets that scripts.get_data fetches: their archives, and what lies in them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file to download: its hosts, tried in turn, and its MD5 as the publishers give it."""

    name: str
    md5: str
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Archives that are unpacked together.

    gives: what comes out, as (path in the archive, path below --out).
    """

    archives: tuple[Archive, ...]
    gives: tuple[tuple[str, str], ...]


def voc(year: int, name: str, md5: str) -> Archive:
    """An archive of Pascal VOC."""
    folder = f"pascal/VOC/voc{year}"
    urls = (
        f"https://thor.robots.ox.ac.uk/{folder}/{name}",
        f"https://host.robots.ox.ac.uk/{folder}/{name}",
    )
    return Archive(name=name, md5=md5, urls=urls)


def coco(folder: str, name: str, md5: str) -> Archive:
    """An archive of COCO."""
    url = f"https://s3.amazonaws.com/images.cocodataset.org/{folder}/{name}"
    return Archive(name=name, md5=md5, urls=(url,))


def coco_parts(year: int, train_md5: str, val_md5: str, annotations_md5: str) -> tuple[Part, ...]:
    """The annotations and images of one year of COCO."""
    files = [f"annotations/instances_{split}{year}.json" for split in ("train", "val")]
    annotations = coco("annotations", f"annotations_trainval{year}.zip", annotations_md5)
    return (
        Part(archives=(annotations,), gives=tuple((file, f"coco/{file}") for file in files)),
        coco_images(f"val{year}", val_md5),
        coco_images(f"train{year}", train_md5),
    )


def coco_images(folder: str, md5: str) -> Part:
    """The images of one split of COCO."""
    archive = coco("zips", f"{folder}.zip", md5)
    return Part(archives=(archive,), gives=((folder, f"coco/{folder}"),))


DATASETS: dict[str, tuple[Part, ...]] = {
    "voc2007": (
        Part(
            archives=(
                voc(2007, "VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
                voc(2007, "VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
            ),
            gives=(("VOCdevkit/VOC2007", "VOCdevkit/VOC2007"),),
        ),
    ),
    "voc2012": (
        Part(
            archives=(
                voc(2012, "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),
            ),
            gives=(("VOCdevkit/VOC2012", "VOCdevkit/VOC2012"),),
        ),
    ),
    "coco2014": coco_parts(
        2014,
        "0da8c0bd3d6becc4dcb32757491aca88",
        "a3d79f5ed8d289b7a7554ce06a5782b3",
        "0a379cfc70b0e71301e0f377548639bd",
    ),
    "coco2017": coco_parts(
        2017,
        "cced6f7f71b7629ddf16f17bbcfab6b2",
        "442b8da7639aecaf257c1dceb8ba8c80",
        "f4bbac642086de4f52a3fdda2de5fa2c",
    ),
    "coco2017test": (
        Part(
            archives=(
                coco("annotations", "image_info_test2017.zip", "85da7065e5e600ebfee8af1edb634eb5"),
            ),
            gives=(
                (
                    "annotations/image_info_test-dev2017.json",
                    "coco/annotations/image_info_test-dev2017.json",
                ),
            ),
        ),
        coco_images("test2017", "77ad2c53ac5d0aea611d422c0938fb35"),
    ),
}
