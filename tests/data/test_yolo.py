"""YOLO's label files, and the data.yaml that names their classes."""

import pytest
from PIL import Image

from data.errors import DataError
from data.formats.data_yaml import read_data_yaml
from data.layouts import find_layout, open_split
from data.yolo import read_yolo

CLASSES = ("bolt", "nut")
YAML = "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['bolt', 'nut']\n"


def photo(path, lines=None, size=(80, 40)):
    """An image of 80 x 40 px in images/, and its text file in labels/ unless ``lines`` is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    if lines is not None:
        labels = path.parent.parent / "labels"
        labels.mkdir(exist_ok=True)
        (labels / f"{path.stem}.txt").write_text(lines)


def test_shares_become_pixels(tmp_path):
    """Center (0.5, 0.25), a quarter wide and half high: x 30..50 of 80 px, y 0..20 of 40 px."""
    photo(tmp_path / "images" / "a.png", "1 0.5 0.25 0.25 0.5\n0 0.5 0.5 1 1\n")
    table, problems = read_yolo(tmp_path, ["images/a.png"], CLASSES)
    assert table.targets.boxes.tolist() == [[30, 0, 50, 20], [0, 0, 80, 40]]
    assert table.targets.labels.tolist() == [2, 1]
    assert table.targets.area.tolist() == [400, 3200]
    assert (table.image_ids, table.sizes, problems) == (("images/a",), ((40, 80),), [])


def test_a_polygon_is_read_as_its_box_and_said(tmp_path):
    photo(tmp_path / "images" / "a.png", "0 0.25 0.5 0.5 0.25 0.375 0.75")
    table, problems = read_yolo(tmp_path, ["images/a.png"], CLASSES)
    assert table.targets.boxes.tolist() == [[20, 10, 40, 30]]
    assert [str(problem.severity) for problem in problems] == ["note"]


def test_images_without_labels_have_no_objects_and_are_said(tmp_path):
    photo(tmp_path / "images" / "empty.png", "")
    photo(tmp_path / "images" / "none.png")
    table, problems = read_yolo(tmp_path, ["images/empty.png", "images/none.png"], CLASSES)
    assert table.targets.starts.tolist() == [0, 0, 0]
    assert [problem.file for problem in problems] == [str(tmp_path / "images/none.png")]


@pytest.mark.parametrize(
    ("line", "severity", "says"),
    [
        ("2 0.5 0.5 0.1 0.1", "error", "the class 2 is not one of 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "error", "the class 0.5 is not"),
        ("bolt 0.5 0.5 0.1 0.1", "error", "is not numbers"),
        ("0 40 20 10 10", "error", "no shares of the image's width and height"),
        ("0 nan 0.5 0.1 0.1", "error", "no shares"),
        ("0 0.5 0.5 0.1", "box", "4 numbers are neither"),
        ("0 0.5 0.5 0.1 0.1 0.9", "box", "6 numbers are neither"),
        ("0 0.5 0.5 0 0.1", "box", "no positive size"),
        ("0 0.5 0.5 1.2 1", "repaired", "leaves the image of 80 x 40 px by more than 1 px"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(tmp_path, line, severity, says):
    photo(tmp_path / "images" / "a.png", f"1 0.5 0.5 0.5 0.5\n{line}\n")
    table, (problem,) = read_yolo(tmp_path, ["images/a.png"], CLASSES)
    assert (problem.severity, problem.where) == (severity, "line 2")
    assert says in problem.text
    assert len(table.targets.labels) == (2 if severity == "repaired" else 1)


def test_roboflow_folders_with_data_yaml(tmp_path):
    for split in ("train", "valid"):
        photo(tmp_path / split / "images" / f"{split} 1.jpg", "1 0.5 0.25 0.25 0.5\r\n")
    (tmp_path / "data.yaml").write_text(YAML)
    found = find_layout(tmp_path)
    assert (found.layout, found.train, found.validation) == ("yolo", "train", "val")
    data = open_split(found, "val")
    assert data.classes == CLASSES
    assert data.image_ids == ("valid/images/valid 1",)
    assert data[0].target.boxes.tolist() == [[30, 0, 50, 20]]


def test_ultralytics_folders_with_path(tmp_path):
    for split in ("train", "val"):
        photo(tmp_path / "images" / split / "a.jpg")
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    text = "path: ../datasets/parts  # root\ntrain: images/train\nval: images/val\ntest:\nnames:\n"
    (tmp_path / "parts.yaml").write_text(text + "  0: bolt\n  1: nut\n")
    found = find_layout(tmp_path)
    assert (found.train, found.validation, found.test) == ("train", "val", None)
    assert open_split(found, "train").target(0).boxes.tolist() == [[20, 10, 60, 30]]


def test_a_list_of_images(tmp_path):
    photo(tmp_path / "images" / "a.jpg", "0 0.5 0.5 0.5 0.5")
    photo(tmp_path / "images" / "b.jpg", "")
    (tmp_path / "train.txt").write_text("./images/b.jpg\r\n./images/a.jpg\r\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nnames: [bolt]\n")
    assert open_split(find_layout(tmp_path), "train").image_ids == ("images/b", "images/a")


def test_labelimg_folder_without_data_yaml(tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match="no file with the names of the classes"):
        find_layout(tmp_path)
    (tmp_path / "classes.txt").write_text("bolt\nnut\n")
    found = find_layout(tmp_path)
    assert (found.layout, found.train) == ("yolo", "all")
    assert open_split(found, "all").target(0).labels.tolist() == [2]


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("names: [red cell, 'it''s', \"a, b\"]", ("red cell", "it's", "a, b")),
        ("names: ['a',\n  'b # no comment',  # a comment\n  c]", ("a", "b # no comment", "c")),
        ("names:\n- cat\n- 'dog'\nnc: 2", ("cat", "dog")),
        ("names:\n  1: dog\n  0: cat\n", ("cat", "dog")),
        ("names: {0: cat, 1: 'big dog'}", ("cat", "big dog")),
        ("download: |\n  names: x\n  [1\nnames: [cat]", ("cat",)),
    ],
)
def test_the_class_names_of_a_data_yaml(tmp_path, text, classes):
    (tmp_path / "data.yaml").write_text(text)
    assert read_data_yaml(tmp_path / "data.yaml").classes == classes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: a", "the key names is missing or empty"),
        ("names: [a, b]\nnc: 3", "nc is 3, and names has 2 classes"),
        ("names: {0: a, 2: b}", "not numbered 0, 1, 2"),
        ("names: {x: a}", "the class number 'x'"),
    ],
)
def test_a_wrong_data_yaml_is_said(tmp_path, text, says):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=f"data.yaml: .*{says}"):
        read_data_yaml(tmp_path / "data.yaml")


@pytest.mark.parametrize("file", ["data.yaml", "classes.txt"])
def test_two_classes_of_one_name_are_refused(tmp_path, file):
    """Results name classes, so two of one name would be counted as one."""
    photo(tmp_path / "train" / "images" / "a.png", "1 0.5 0.5 0.2 0.2\n")
    text = "train: train/images\nnames: [nut, nut]\n" if file == "data.yaml" else "nut\nnut\n"
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match="classes 0 and 1 have the same name 'nut'; rename"):
        open_split(find_layout(tmp_path), "train")


def test_two_images_with_one_id_are_refused(tmp_path):
    """a.png and a.jpg share a.txt, and an image that is listed twice counts twice."""
    photo(tmp_path / "images" / "a.png", "0 0.5 0.5 0.2 0.2\n")
    photo(tmp_path / "images" / "a.jpg")
    photo(tmp_path / "images" / "b.png", "")
    for names in (["images/a.jpg", "images/a.png"], ["images/a.png", "images/a.png"]):
        _, (problem,) = read_yolo(tmp_path, [*names, "images/b.png"], CLASSES)
        assert problem.severity == "error"
        assert problem.file == str(tmp_path / "images/a.png")
        assert f"the id and the labels of {names[0]!r}" in problem.text


def test_labels_with_key_points_are_refused(tmp_path):
    """A box and two key points have as many numbers as a polygon of four corners."""
    pose = "0 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.55\n"
    photo(tmp_path / "train" / "images" / "a.png", pose)
    (tmp_path / "data.yaml").write_text(
        "train: train/images\nnames: [bolt]\nkpt_shape: [2, 2]  # key points\n"
    )
    with pytest.raises(
        DataError, match=r"data.yaml: kpt_shape says that the labels have key points"
    ):
        open_split(find_layout(tmp_path), "train")


@pytest.mark.parametrize(
    ("places", "missing"),
    [("[a, gone]", "gone"), ("[list.txt, a]", "list.txt"), ("[list.txt, list.txt]", "list.txt")],
)
def test_a_split_of_several_places_has_all_of_them(tmp_path, places, missing):
    """Otherwise a part of the images would be left out without a word."""
    photo(tmp_path / "a" / "one.png")
    photo(tmp_path / "b" / "two.png")
    (tmp_path / "list.txt").write_text("b/two.png\n")
    yaml = tmp_path / "data.yaml"
    yaml.write_text(f"train: {places}\nval: b\ntest: not/there\nnames: [bolt]\n")
    with pytest.raises(DataError, match=rf"train names .* of which '{missing}' is no folder"):
        find_layout(tmp_path)
    yaml.write_text("train: [a, b]\nval: b\ntest: not/there\nnames: [bolt]\n")
    assert len(open_split(find_layout(tmp_path), "train")) == 2
    assert find_layout(tmp_path).names == ("train", "val")
