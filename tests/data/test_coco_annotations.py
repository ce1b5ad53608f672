"""What the reader of COCO's files copes with, and what it refuses by name."""

import pytest
from PIL import Image

from data.coco import CocoDataset
from data.coco_annotations import read_coco
from data.errors import DataError
from tests.data.test_coco import GOOD, annotation, write


@pytest.mark.fault("R39")
def test_a_box_that_leaves_its_image_is_clipped(tmp_path):
    data = CocoDataset(write(tmp_path, [annotation(1, 7, [-5, -0.5, 100, 20])]), "train2014")
    assert data.target(0).boxes.tolist() == [[0, 0, 60, 19.5]]


@pytest.mark.fault("R39")
@pytest.mark.parametrize(
    "box",
    [
        [1, 1, 0, 5],
        [1, 1, -3, 5],
        [70, 1, 5, 5],
        [59.9999999, 1, 5, 5],  # float32 has its left side at the border of the image
        [1, 1, 5, 1e-9],
        ["1 px", 1, 5, 5],
        ["inf", 1, 5, 5],
        [1, 1, 5],
        None,
        [True, 1, 5, 5],
        [1, 1, 10**400, 5],
    ],
)
def test_bad_boxes_stop_or_are_skipped_by_name(tmp_path, box):
    root = write(tmp_path, [*GOOD, annotation(44, 7, box)])
    with pytest.raises(
        DataError, match=r"instances_train2014.json: annotation 44 \(image 7, file 'seven.png'\)"
    ):
        CocoDataset(root, "train2014")
    data = CocoDataset(root, "train2014", on_bad_box="skip")
    assert len(data.skipped) == 1
    assert "annotation 44" in data.skipped[0]
    assert data.target(0).boxes.tolist() == [[0, 0, 60, 40]]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (annotation(50, 99, [1, 1, 5, 5]), "annotation 50: image id 99"),
        (annotation(50, 7, [1, 1, 5, 5], 2), "annotation 50 .*category id 2 is unknown"),
        (annotation(50, 7, [1, 1, 5, 5], iscrowd=2), "annotation 50 .*iscrowd is 2"),
        (annotation(50, 7, [1, 1, 5, 5], area=-1), "annotation 50 .*area -1"),
        (annotation(50, 7, [1, 1, 5, 5], sigma_true=[1, 2]), "annotation 50 .*sigma_true"),
    ],
)
def test_bad_annotations_are_named(tmp_path, bad, says):
    with pytest.raises(DataError, match=says):
        CocoDataset(write(tmp_path, [*GOOD, bad]), "train2014")


@pytest.mark.fault("R41")
def test_annotation_id_zero_is_usable(tmp_path):
    assert (
        len(
            CocoDataset(write(tmp_path, [annotation(0, 7, [1, 1, 5, 5])]), "train2014")
            .target(0)
            .labels
        )
        == 1
    )


@pytest.mark.fault("R49")
@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/secret.png", "a/../../b.png", "..\\b.png", "", None]
)
def test_file_names_that_leave_the_folder_are_refused(tmp_path, name):
    images = [{"id": 7, "file_name": name, "width": 60, "height": 40}]
    with pytest.raises(DataError, match="image 7"):
        CocoDataset(write(tmp_path, [], images=images), "train2014")


@pytest.mark.parametrize(
    "images",
    [
        [{"id": 7, "file_name": "seven.png", "width": 60, "height": 40}] * 2,
        [{"id": 7.5, "file_name": "seven.png", "width": 60, "height": 40}],
        [{"id": 7, "file_name": "seven.png", "width": 60.5, "height": 40}],
        [{"id": True, "file_name": "7.png", "width": 60, "height": 40}],
        [{"id": 7, "file_name": "seven.png", "width": 60, "height": 0}],
    ],
)
def test_bad_images_are_refused(tmp_path, images):
    with pytest.raises(DataError, match="7"):
        CocoDataset(write(tmp_path, [], images=images), "train2014")


def test_no_category_is_refused(tmp_path):
    with pytest.raises(DataError, match="no category"):
        CocoDataset(write(tmp_path, [], categories=[]), "train2014")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"images": [], "annotations": []}',
        '{"images": NaN, "annotations": [], "categories": []}',
        '{"images": [1], "annotations": [], "categories": []}',
        '{"images": [], "images": [], "annotations": [], "categories": []}',
        "[" * 200_000,
        '{"images": ' + "9" * 5000 + "}",
    ],
    ids=[
        "empty",
        "list",
        "key missing",
        "NaN",
        "no object",
        "key twice",
        "nesting",
        "long integer",
    ],
)
def test_files_that_are_not_coco_are_refused_by_name(tmp_path, text):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_x.json").write_text(text)
    with pytest.raises(DataError, match=r"instances_x.json"):
        CocoDataset(tmp_path, "x")


def read(root, **how):
    """The data set of a split, and the notes and mended faults of its file."""
    problems = read_coco(root / "annotations" / "instances_train2014.json").problems
    return CocoDataset(root, "train2014", **how), [str(problem) for problem in problems]


@pytest.mark.fault("R41")
def test_annotation_ids_play_no_part(tmp_path):
    """Twice the same, none, or a text: the objects are all there, and the ids are reported."""
    boxes = [[1, 1, 5, 5], [2, 2, 5, 5], [3, 3, 5, 5], [4, 4, 5, 5]]
    some = [annotation(i, 7, box) for i, box in zip((11, 11, None, "x-1"), boxes, strict=True)]
    data, problems = read(write(tmp_path, some))
    assert data.target(0).boxes[:, 0].tolist() == [1, 2, 3, 4]
    for text in ("id 11 (image 7) occurs twice", "id None (image 7) is not an integer"):
        assert sum(text in problem for problem in problems) == 1


def test_numbers_may_be_texts_and_sizes_floats(tmp_path):
    images = [{"id": "7", "file_name": "seven.png", "width": 60.0, "height": "40"}]
    some = [annotation("3", 7.0, ["1.5", 2, "5", 5], "1", area="20.5", iscrowd="0")]
    categories = [{"id": "1", "name": "car"}]
    data, problems = read(write(tmp_path, some, images=images, categories=categories))
    assert (data.image_ids, data.sizes, data.category_ids) == ((7,), ((40, 60),), (1,))
    assert data.target(0).boxes.tolist() == [[1.5, 2, 6.5, 7]]
    assert data.target(0).area.tolist() == [20.5]
    assert sum("numbers are written as texts" in problem for problem in problems) == 2


def test_ids_of_images_may_be_texts(tmp_path):
    images = [{"id": "scan_07", "file_name": "seven.png", "width": 60, "height": 40}]
    data, _ = read(write(tmp_path, [annotation(1, "scan_07", [1, 1, 5, 5])], images=images))
    assert data.image_ids == ("scan_07",)
    assert len(data.target(0).labels) == 1


@pytest.mark.fault("R45")
def test_null_iscrowd_and_area_are_missing(tmp_path):
    some = [annotation(1, 7, [1, 1, 5, 6], iscrowd=None, area=None)]
    data, problems = read(write(tmp_path, some))
    assert data.target(0).crowd.tolist() == [False]
    assert data.target(0).area.tolist() == [30]
    assert "iscrowd is missing or null (taken as 0)" in problems[0]
    assert "area is missing or null (taken as that of the box)" in problems[1]


@pytest.mark.parametrize("group", ["parts", "bolt"])
def test_roboflows_root_category_is_no_class(tmp_path, group):
    """Category 0 is the group of the classes; with a single class it may have that class's name."""
    categories = [
        {"id": 0, "name": group, "supercategory": "none"},
        {"id": 1, "name": "bolt", "supercategory": group},
    ]
    some = [annotation(1, 7, [1, 1, 5, 5], 1)]
    data, problems = read(write(tmp_path, some, categories=categories))
    assert (data.classes, data.category_ids) == (("bolt",), (1,))
    assert f"category 0 ({group!r}) is the group of the others, and is left out" in problems[0]


def test_an_unused_category_is_a_class_and_two_of_one_name_are_refused(tmp_path):
    categories = [{"id": 0, "name": "nut"}, {"id": 1, "name": "bolt"}]
    data, _ = read(write(tmp_path, [annotation(1, 7, [1, 1, 5, 5], 1)], categories=categories))
    assert data.classes == ("nut", "bolt")
    categories[0]["name"] = "bolt"
    some = [annotation(1, 7, [1, 1, 5, 5], 1), annotation(2, 7, [1, 1, 5, 5], 0)]
    with pytest.raises(
        DataError, match="categories 0 and 1 have the same name 'bolt'; rename or remove one"
    ):
        CocoDataset(write(tmp_path, some, categories=categories), "train2014")


def test_boxes_that_look_normalised_are_refused(tmp_path):
    some = [annotation(1, 7, [0.1, 0.2, 0.5, 0.3]), annotation(2, 5, [0, 0, 1, 1])]
    with pytest.raises(DataError, match="all 2 boxes lie between 0 and 1, so they look normalised"):
        CocoDataset(write(tmp_path, some), "train2014")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("set a\\photo (2).png", "set a/photo (2).png"),
        (".//set a//über.png", "set a/über.png"),
        ("2024-05-01T12:30:00.png", "2024-05-01T12:30:00.png"),
        ("photo.png", "photo.PNG"),
        ("photo.bmp", "photo.jpg"),
        ("mu\u0308ll.png", "m\u00fcll.png"),
    ],
)
def test_the_image_that_is_there_is_found(tmp_path, name, file):
    """Windows' separators, doubled ones, colons, another suffix, and macOS's way to write ü."""
    images = [{"id": 7, "file_name": name, "width": 30, "height": 20}]
    root = write(tmp_path, [annotation(1, 7, [1, 1, 5, 5])], images=images)
    (root / "train2014" / file).parent.mkdir(exist_ok=True)
    Image.new("RGB", (30, 20)).save(root / "train2014" / file)
    data, _ = read(root)
    assert data.file(0) == root / "train2014" / file
    assert data[0].image.shape == (3, 20, 30)


def test_one_file_of_two_images_is_refused(tmp_path):
    """Each would have the objects of the other as background; "./" and a suffix hide nothing."""
    for second in ("seven.png", "./seven.png", "seven.jpg"):
        images = [
            {"id": 7, "file_name": "seven.png", "width": 60, "height": 40},
            {"id": 8, "file_name": second, "width": 60, "height": 40},
        ]
        root = write(tmp_path, [annotation(1, 7, [1, 1, 5, 5])], images=images)
        with pytest.raises(DataError, match=r"images 7 and 8 have the same file 'seven.png'"):
            CocoDataset(root, "train2014")
