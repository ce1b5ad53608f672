"""What the reader of COCO's files copes with, and what it refuses by name."""

import pytest

from data.coco import CocoDataset
from data.errors import DataError
from tests.data.test_coco import GOOD, annotation, write


def test_a_box_that_leaves_its_image_is_clipped(tmp_path):
    data = CocoDataset(write(tmp_path, [annotation(1, 7, [-5, -0.5, 100, 20])]), "train2014")
    assert data.target(0).boxes.tolist() == [[0, 0, 60, 19.5]]


@pytest.mark.parametrize(
    "box",
    [
        [1, 1, 0, 5],
        [1, 1, -3, 5],
        [70, 1, 5, 5],
        ["1", 1, 5, 5],
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
        (annotation(11, 7, [1, 1, 5, 5]), "annotation id 11 .* occurs twice"),
        (annotation("x", 7, [1, 1, 5, 5]), "annotation id 'x' .* not an integer"),
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


def test_annotation_id_zero_is_usable(tmp_path):
    assert (
        len(
            CocoDataset(write(tmp_path, [annotation(0, 7, [1, 1, 5, 5])]), "train2014")
            .target(0)
            .labels
        )
        == 1
    )


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
        [{"id": "7", "file_name": "seven.png", "width": 60, "height": 40}],
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
