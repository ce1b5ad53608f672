import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from data.coco import CocoDataset, find_annotation_file
from data.coco_annotations import read_coco
from data.concat import ConcatDataset
from data.errors import DataError
from data.formats.coco_results import result_entries
from data.formats.masks import compressed_rle
from data.records import Detections

CATEGORIES = [
    {"id": 3, "name": "car"},
    {"id": 1, "name": "person"},
    {"id": 90, "name": "toothbrush"},
]


def annotation(number, image, box, category=1, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}


def write(root, annotations, *, split="train2014", images=None, categories=CATEGORIES, info=None):
    """A COCO folder with the images 7 (60 x 40 px) and 5 (30 x 50 px), unless told otherwise."""
    images = images or [
        {"id": 7, "file_name": "seven.png", "width": 60, "height": 40},
        {"id": 5, "file_name": "five.png", "width": 30, "height": 50},
    ]
    document = {
        "images": images,
        "annotations": annotations,
        "categories": categories,
        "info": info or {},
    }
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    folder = root / (info or {}).get("image_folder", split)
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (60, 40), (255, 0, 0)).save(folder / "seven.png")
    Image.new("RGB", (30, 50), (0, 0, 255)).save(folder / "five.png")
    return root


def write_images_only(root, *, split, folder):
    """The same images without labels, as COCO's test images come."""
    write(root, [], split=split, info={"image_folder": folder})
    labeled = root / "annotations" / f"instances_{split}.json"
    document = {
        key: value
        for key, value in json.loads(labeled.read_text()).items()
        if key in ("images", "categories")
    }
    (root / "annotations" / f"image_info_{split}.json").write_text(json.dumps(document))
    labeled.unlink()
    return root


GOOD = [
    annotation(11, 5, [1, 2, 10, 20], 90, area=123.5),
    annotation(12, 7, [0, 0, 60, 40], 3, iscrowd=1),
    annotation(13, 5, [3, 4, 5, 6], 1),
]


def test_boxes_labels_and_areas_are_those_of_the_file(tmp_path):
    data = CocoDataset(write(tmp_path, GOOD), "train2014")
    assert data.classes == ("person", "car", "toothbrush")  # label k <-> k-th smallest category id
    assert data.category_ids == (1, 3, 90)
    assert data.image_ids == (7, 5)
    assert data.sizes == ((40, 60), (50, 30))
    five = data.target(1)
    assert five.boxes.tolist() == [[1, 2, 11, 22], [3, 4, 8, 10]]
    assert five.labels.tolist() == [3, 1]
    assert five.area.tolist() == [123.5, 30.0]  # the file's, else w * h
    assert five.crowd.tolist() == [False, False]
    assert data.target(0).crowd.tolist() == [True]
    assert five.clean_boxes is None


def test_sample_is_rgb_uint8(tmp_path):
    sample = CocoDataset(write(tmp_path, GOOD), "train2014")[0]
    assert sample.image.shape == (3, 40, 60)
    assert sample.image.dtype == torch.uint8
    assert sample.image[:, 0, 0].tolist() == [255, 0, 0]
    assert sample.image_id == 7


def test_missing_test_images_say_what_to_fetch(tmp_path):
    write_images_only(tmp_path, split="test2017", folder="test2017")
    with pytest.raises(
        DataError,
        match=r"'test-dev2017' .* splits there: test2017; .*scripts.get_data coco2017test$",
    ):
        CocoDataset(tmp_path, "test-dev2017")


def test_root_may_contain_a_coco_folder(tmp_path):
    write(tmp_path / "coco", GOOD)
    assert len(CocoDataset(tmp_path, "train2014")) == 2


def test_optional_keys_and_image_folder(tmp_path):
    extra = {"clean_bbox": [1, 1, 10, 10], "sigma_true": [1, 2, 3, 4]}
    root = write(
        tmp_path,
        [annotation(1, 7, [2, 2, 9, 9], **extra)],
        split="val_clean",
        info={"image_folder": "val"},
    )
    data = CocoDataset(root, "val_clean")
    assert data.target(0).clean_boxes.tolist() == [[1, 1, 11, 11]]
    assert data.target(0).sigma_true.tolist() == [[1, 2, 3, 4]]
    assert data.target(1).sigma_true.shape == (0, 4)
    assert data[0].image.shape == (3, 40, 60)


@pytest.mark.parametrize(
    ("split", "folder"), [("test-dev2017", "test2017"), ("test-dev2015", "test2015")]
)
def test_images_without_labels_open_as_a_data_set(tmp_path, split, folder):
    root = write_images_only(tmp_path, split=split, folder=folder)
    assert find_annotation_file(root, split) == root / "annotations" / f"image_info_{split}.json"
    data = CocoDataset(root, split)
    assert (data.image_ids, data.category_ids, data.skipped) == ((7, 5), (1, 3, 90), ())
    assert [data.target(i).boxes.shape for i in range(2)] == [(0, 4), (0, 4)]
    assert data[1].image.shape == (3, 50, 30)


def test_labels_are_missing_from_test_images_only(tmp_path):
    root = write_images_only(tmp_path, split="x", folder="x")
    (root / "annotations" / "image_info_x.json").rename(root / "annotations" / "instances_x.json")
    with pytest.raises(DataError, match="no list 'annotations'"):
        CocoDataset(root, "x")


def test_a_file_with_labels_goes_before_one_without(tmp_path):
    write_images_only(tmp_path, split="val2017", folder="val2017")
    write(tmp_path / "coco", GOOD, split="val2017")
    assert find_annotation_file(tmp_path, "val2017").name == "instances_val2017.json"


@pytest.mark.parametrize("split", ["minival2014", "valminusminival2014"])
def test_the_parts_of_val2014_have_its_images(tmp_path, split):
    write(tmp_path, GOOD, split="val2014")
    (tmp_path / "annotations" / "instances_val2014.json").rename(
        tmp_path / "annotations" / f"instances_{split}.json"
    )
    assert CocoDataset(tmp_path, split).file(0) == tmp_path / "val2014" / "seven.png"


def test_results_undo_the_label_map_and_the_box_form(tmp_path):
    data = CocoDataset(write(tmp_path, GOOD), "train2014")
    targets = [data.target(i) for i in range(2)]
    found = [
        Detections(boxes=t.boxes, scores=torch.ones(len(t.labels)), labels=t.labels)
        for t in targets
    ]
    results = [
        entry
        for image, image_id in zip(found, data.image_ids, strict=True)
        for entry in result_entries(image, image_id, data.category_ids)
    ]
    expected = sorted((a["image_id"], a["category_id"], a["bbox"]) for a in GOOD)
    assert sorted((r["image_id"], r["category_id"], r["bbox"]) for r in results) == expected


TRIANGLE = [[10, 5, 30, 5, 30, 25]]
# x 3..8, y 4..10
SQUARE = {"size": [50, 30], "counts": [50 * 3 + 4, 6, 44, 6, 44, 6, 44, 6, 44, 6, 50 * 23 - 10]}
SEGMENTED = [
    annotation(11, 5, [3, 4, 5, 6], 90, segmentation=SQUARE),
    annotation(
        12,
        7,
        [10, 5, 20, 20],
        3,
        iscrowd=1,
        segmentation={"size": [40, 60], "counts": compressed_rle(TRIANGLE, (40, 60))},
    ),
    annotation(
        13,
        5,
        [3, 4, 5, 6],
        1,
        segmentation={"size": [50, 30], "counts": compressed_rle(SQUARE, (50, 30))},
    ),
    annotation(14, 7, [10, 5, 20, 20], 3, segmentation=TRIANGLE),
]


def test_masks_are_the_segmentations_in_the_order_of_the_boxes(tmp_path):
    data = CocoDataset(write(tmp_path, SEGMENTED), "train2014", masks=True)
    seven, five = data[0].target.masks, data[1].target.masks
    assert seven.dtype == five.dtype == torch.uint8
    assert (seven.shape, five.shape) == ((2, 40, 60), (2, 50, 30))
    wanted = torch.zeros(50, 30)
    wanted[4:10, 3:8] = 1
    assert torch.equal(five[0], five[1])
    assert torch.equal(five[0], wanted)
    assert torch.equal(seven[0], seven[1])  # run lengths and the polygon that they were made of
    assert seven[0].sum().item() == pytest.approx(200, abs=20)
    assert seven[0, 7, 28] == 1
    assert seven[0, 20, 12] == 0
    assert data[0].target.crowd.tolist() == [True, False]


def test_masks_come_with_samples_only_and_only_if_asked_for(tmp_path):
    root = write(tmp_path, SEGMENTED)
    data = CocoDataset(root, "train2014", masks=True)
    assert data.target(0).masks is None  # counting the objects of a split must not draw them
    plain = CocoDataset(root, "train2014")
    assert plain[0].target.masks is None
    with pytest.raises(
        DataError, match=r"train2014: masks were asked for, .*DataConfig.masks=True"
    ):
        plain.segments(0)


def test_an_image_without_annotations_has_no_masks(tmp_path):
    data = CocoDataset(write(tmp_path, SEGMENTED[:1]), "train2014", masks=True)
    assert data[0].target.masks.shape == (0, 40, 60)
    assert data.segments(0) == []


def test_segments_are_run_lengths_for_pycocotools_and_json(tmp_path):
    data = CocoDataset(write(tmp_path, SEGMENTED), "train2014", masks=True)
    rles = json.loads(json.dumps(data.segments(1)))
    assert [rle["size"] for rle in rles] == [[50, 30]] * 2
    assert coco_mask.area(rles).tolist() == [30, 30]
    both = ConcatDataset([data, data], ["a", "b"])
    assert both.segments(3) == data.segments(1)


def test_a_split_without_annotations_opens_with_masks(tmp_path):
    data = CocoDataset(
        write_images_only(tmp_path, split="test2017", folder="test2017"), "test2017", masks=True
    )
    assert data[1].target.masks.shape == (0, 50, 30)


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        (
            [[1, 1, 5, 5]],
            "a polygon has 4 numbers, not x and y of at least 3 points.*--skip-bad-boxes",
        ),
        ([[1, 1, 5, 5, 1, 5, 7]], "a polygon has 7 numbers"),
        (
            {"size": [60, 40], "counts": [2400]},
            r"have size \[60, 40\], not \[height, width\] = \[40, 60\]",
        ),
        ({"size": [40, 60], "counts": [2399]}, "sum up to 2399 px, not to 40 x 60"),
    ],
)
def test_bad_segmentations_stop_or_are_skipped_by_name_if_they_are_read(
    tmp_path, segmentation, says
):
    root = write(tmp_path, [*SEGMENTED, annotation(44, 7, [1, 1, 5, 5], segmentation=segmentation)])
    with pytest.raises(
        DataError,
        match=rf"instances_train2014.json: annotation 44 \(image 7, file 'seven.png'\): .*{says}",
    ):
        CocoDataset(root, "train2014", masks=True)
    data = CocoDataset(root, "train2014", masks=True, on_bad_box="skip")
    assert "annotation 44" in data.skipped[0]
    assert data[0].target.masks.shape == (2, 40, 60)
    assert len(CocoDataset(root, "train2014").target(0).labels) == 3


def test_a_part_of_a_mask_that_cannot_be_used_is_left_out_and_the_object_stays(tmp_path):
    """As Detectron does: two points enclose nothing, the triangle beside them is the mask."""
    parts = [[4, 4, 9, 9], *TRIANGLE, [1, 1, 2]]
    root = write(tmp_path, [annotation(14, 7, [10, 5, 20, 20], 3, segmentation=parts)])
    data = CocoDataset(root, "train2014", masks=True)
    assert data.skipped == ()
    alone = write(tmp_path / "b", [annotation(14, 7, [10, 5, 20, 20], 3, segmentation=TRIANGLE)])
    triangle = CocoDataset(alone, "train2014", masks=True)[0].target.masks
    assert torch.equal(data[0].target.masks, triangle)
    (problem,) = [
        problem
        for problem in read_coco(root / "annotations/instances_train2014.json", "read").problems
        if problem.severity != "note"
    ]
    assert problem.severity == "repaired"
    assert "a polygon has 4 numbers" in str(problem)


def test_missing_segmentations_are_named_and_a_file_without_any_is_refused(tmp_path):
    root = write(tmp_path, [*SEGMENTED, annotation(44, 7, [1, 1, 5, 5])])
    with pytest.raises(
        DataError, match=r"annotation 44 .*: it has no segmentation; .*--skip-bad-boxes"
    ):
        CocoDataset(root, "train2014", masks=True)
    assert len(CocoDataset(root, "train2014", masks=True, on_bad_box="skip")[0].target.masks) == 2
    write(tmp_path, GOOD)
    for on_bad_box in ("error", "skip"):
        with pytest.raises(
            DataError,
            match=r"no annotation has a segmentation, .* use a file with masks or "
            r"DataConfig.masks=False",
        ):
            CocoDataset(root, "train2014", masks=True, on_bad_box=on_bad_box)


def test_missing_split_says_where_what_and_how(tmp_path):
    write(tmp_path, GOOD)
    with pytest.raises(DataError) as error:
        CocoDataset(tmp_path, "val2017")
    for part in (
        str(tmp_path),
        "instances_val2017.json",
        "train2014",
        "python -m scripts.get_data coco2017",
    ):
        assert part in str(error.value)


def test_image_of_another_size_is_refused(tmp_path):
    images = [{"id": 7, "file_name": "seven.png", "width": 40, "height": 60}]
    data = CocoDataset(write(tmp_path, [], images=images), "train2014")
    with pytest.raises(DataError, match=r"seven.png: the image is 60 x 40 px"):
        data[0]


def test_targets_are_copies(tmp_path):
    data = CocoDataset(write(tmp_path, GOOD), "train2014")
    data.target(0).boxes.zero_()
    assert np.array_equal(data.target(0).boxes, [[0, 0, 60, 40]])
