"""Which layout and which splits a folder has, for the folders that people have."""

import json
import shutil

import pytest
from PIL import Image

from data.errors import DataError
from data.finding.records import role_of
from data.layouts import find_layout, named_layout, open_split
from data.subset import hold_back
from tests.data.test_voc import thing
from tests.data.test_voc import write as write_voc

SIZE = (64, 48)  # width, height of every image


def picture(path, color=(9, 9, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, color).save(path)


def coco_file(path, names, categories=((5, "bolt"), (8, "nut"))):
    """COCO's file with one box of the last category in each image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "images": [
            {"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for i, name in enumerate(names)
        ],
        "categories": [{"id": number, "name": name} for number, name in categories],
        "annotations": [
            {"id": i, "image_id": i, "category_id": categories[-1][0], "bbox": [4, 6, 20, 10]}
            for i in range(len(names))
        ],
    }
    path.write_text(json.dumps(document))


def boxes(dataset):
    """The boxes and class names of every image, by the name of its file."""
    return {
        dataset.name(i): [
            (dataset.classes[label - 1], *box)
            for label, box in zip(
                dataset.target(i).labels.tolist(), dataset.target(i).boxes.tolist(), strict=True
            )
        ]
        for i in range(len(dataset))
    }


NUT = [("nut", 4, 6, 24, 16)]


def test_voc_with_lists(tmp_path):
    write_voc(tmp_path, {"a": thing("nut"), "b": ""}, split="train")
    write_voc(tmp_path, {"c": thing("bolt")}, split="val")
    write_voc(tmp_path, {"a": thing("nut"), "b": "", "c": thing("bolt")}, split="trainval")
    found = find_layout(tmp_path)
    assert (found.layout, found.train, found.validation, found.test) == (
        "voc",
        "train",
        "val",
        None,
    )
    assert "3 XML files" in found.sentences[0]
    assert "splits train, trainval, val" in found.sentences[0]
    train, val = (open_split(found, name) for name in ("train", "val"))
    assert train.classes == val.classes == ("bolt", "nut")
    assert (train.image_ids, val.image_ids) == (("a", "b"), ("c",))
    assert train[0].image.shape == (3, 40, 60)


def test_voc_devkit_stands_for_its_only_year(tmp_path):
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", {"a": thing()}, split="trainval")
    assert find_layout(tmp_path).train == "trainval"
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", {"a": thing()}, split="trainval")
    with pytest.raises(DataError, match="holds VOC2007 and VOC2012; give the folder of one"):
        find_layout(tmp_path / "VOCdevkit")


@pytest.mark.parametrize("folders", [("Annotations", "JPEGImages"), ("annotations", "images")])
def test_voc_without_lists(tmp_path, folders):
    write_voc(tmp_path, {"a": thing("nut"), "b": thing("bolt")})
    shutil.rmtree(tmp_path / "ImageSets")
    (tmp_path / "Annotations").rename(tmp_path / folders[0])
    (tmp_path / "JPEGImages").rename(tmp_path / folders[1])
    found = find_layout(tmp_path)
    assert (found.layout, found.names, found.train, found.validation) == (
        "voc",
        ("all",),
        "all",
        None,
    )
    assert len(open_split(found, "all")[1].target.labels) == 1


def test_flat_voc_as_labelimg_writes_it(tmp_path):
    """XML beside the images, without <difficult>, with Windows' line ends and a byte-order mark."""
    for stem, suffix in (("IMG 1", ".JPG"), ("IMG (2)", ".png")):
        picture(tmp_path / f"{stem}{suffix}")
        text = (
            f"<annotation>\n<filename>{stem}.bmp</filename>\n<size><width>64</width>"
            f"<height>48</height></size>\n{thing('nut', (5, 7, 24, 16), '')}</annotation>"
        )
        content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
        (tmp_path / f"{stem}.xml").write_bytes(content)
    picture(tmp_path / "unlabeled.jpg")
    (tmp_path / "._IMG 1.xml").write_bytes(b"\x00\x05\x16\x07")
    found = find_layout(tmp_path)
    assert found.train == "all"
    assert boxes(open_split(found, "all")) == {"IMG (2).png": NUT, "IMG 1.JPG": NUT}


def test_voc_in_a_folder_for_each_split(tmp_path):
    for split, name in (("train", "nut"), ("valid", "bolt")):
        folder = write_voc(tmp_path / split, {split[0]: thing(name)})
        for file in [*folder.glob("Annotations/*"), *folder.glob("JPEGImages/*")]:
            file.rename(folder / file.name)
        for part in ("Annotations", "JPEGImages", "ImageSets"):
            shutil.rmtree(folder / part)
    found = find_layout(tmp_path)
    assert (found.layout, found.train, found.validation) == ("voc", "train", "valid")
    assert open_split(found, "valid").classes == ("bolt", "nut")


def test_coco_with_annotations_folder(tmp_path):
    for split in ("train", "val2021"):
        coco_file(tmp_path / "annotations" / f"instances_{split}.json", ["a.png", "b.png"])
        picture(tmp_path / split / "a.png")
        picture(tmp_path / split / "b.png")
    (tmp_path / "annotations" / "captions_train.json").write_text("{}")
    found = find_layout(tmp_path)
    assert (found.layout, found.train, found.validation) == ("coco", "train", "val2021")
    assert boxes(open_split(found, "val2021")) == {"a.png": NUT, "b.png": NUT}


@pytest.mark.parametrize(
    ("file", "images", "prefix"),
    [
        ("labels.json", ".", ""),
        ("labels.json", "images", ""),
        ("result.json", "images", "images/"),  # Label Studio
        ("labels.json", "data", ""),  # FiftyOne
        ("annotations/person.json", "photos", ""),
    ],
)
def test_one_coco_file_of_any_name(tmp_path, file, images, prefix):
    coco_file(tmp_path / file, [f"{prefix}a.png", f"{prefix}b.png"])
    for name in ("a.png", "b.png"):
        picture(tmp_path / images / name)
    found = find_layout(tmp_path)
    assert (found.layout, len(found.splits), found.validation) == ("coco", 1, None)
    data = open_split(found, found.train)
    assert boxes(data) == {f"{prefix}a.png": NUT, f"{prefix}b.png": NUT}
    assert data[1].image.shape == (3, 48, 64)


def test_roboflow_coco(tmp_path):
    for split in ("train", "valid", "test"):
        coco_file(tmp_path / split / "_annotations.coco.json", [f"{split}.jpg"])
        picture(tmp_path / split / f"{split}.jpg")
    (tmp_path / "README.roboflow.txt").write_text("...")
    found = find_layout(tmp_path)
    assert (found.train, found.validation, found.test) == ("train", "valid", "test")
    assert boxes(open_split(found, "test")) == {"test.jpg": NUT}


def test_a_named_coco_file_and_image_folder(tmp_path):
    coco_file(tmp_path / "x" / "my labels.json", ["sub folder/ä.png"])
    picture(tmp_path / "y" / "sub folder" / "ä.png")
    found = named_layout(tmp_path / "x" / "my labels.json", tmp_path / "y")
    assert boxes(open_split(found, found.train)) == {"sub folder/ä.png": NUT}
    with pytest.raises(DataError, match=r"The image folder .*z does not exist"):
        named_layout(tmp_path / "x" / "my labels.json", tmp_path / "z")


def test_coco_without_its_images_is_said(tmp_path):
    coco_file(tmp_path / "labels.json", ["a.png"])
    with pytest.raises(DataError, match=r"none of its images, such as 'a.png', is in"):
        find_layout(tmp_path)


def test_an_unknown_folder_says_what_lies_there(tmp_path):
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.webp")
    (tmp_path / "notes.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"it holds 2 images, notes.csv\. Known are COCO"):
        find_layout(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it holds nothing"):
        find_layout(tmp_path / "empty")
    with pytest.raises(DataError, match="does not exist"):
        find_layout(tmp_path / "missing")


def test_an_unknown_split_lists_the_known(tmp_path):
    write_voc(tmp_path, {"a": thing()}, split="train")
    with pytest.raises(DataError, match="no split 'val'; choose one of train"):
        open_split(find_layout(tmp_path), "val")


def test_images_are_held_back_where_there_is_no_validation_split(tmp_path):
    names = [f"{number}.png" for number in range(12)]
    coco_file(tmp_path / "labels.json", names)
    for name in names:
        picture(tmp_path / name)
    found = find_layout(tmp_path)
    train, validation = hold_back(open_split(found, found.train), 0.25)
    assert {**boxes(train), **boxes(validation)} == dict.fromkeys(names, NUT)
    assert len(train) + len(validation) == 12
    assert validation[0].image.shape == (3, 48, 64)
    assert validation.file(0) == tmp_path / validation.name(0)


def test_of_two_layouts_the_first_is_used_and_the_other_is_said(tmp_path):
    """COCO's file goes before YOLO's, which a tool may have written beside it."""
    coco_file(tmp_path / "labels.json", ["a.png"])
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "classes.txt").write_text("bolt")
    found = find_layout(tmp_path)
    assert found.layout == "coco"
    assert found.sentences[1].startswith("not used: YOLO: all: 1 images in ")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", "train"),
        ("my_trainval", "train"),
        ("val2017", "validation"),
        ("valid", "validation"),
        ("instances-dev", "validation"),
        ("test_4952", "test"),
        ("trainer", None),
        ("contest", None),
        ("values", None),
    ],
)
def test_the_words_of_a_split_say_what_it_is_for(name, role):
    assert role_of(name) == role
