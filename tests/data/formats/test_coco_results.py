"""COCO's result format: what is written is read again to the bit, and what is wrong is named."""

import json

import pytest
import torch

from data.errors import DataError
from data.formats.coco_results import read_results, result_entries
from data.records import Detections

IDS, CATEGORIES = (7, 12), (3, 90)
GOOD = {"image_id": 7, "category_id": 90, "bbox": [1, 2, 3.5, 4], "score": 0.5}


def write(folder, *entries):
    file = folder / "results.json"
    file.write_text(json.dumps(list(entries)))
    return file


def read(folder, *entries, ids=IDS):
    return read_results(write(folder, *entries), ids, CATEGORIES)


def test_what_is_written_is_read_again_to_the_bit(tmp_path):
    torch.manual_seed(0)
    corner = 500 * torch.rand(9, 2)
    image = Detections(
        boxes=torch.cat([corner, corner + 300 * torch.rand(9, 2)], dim=1),
        scores=torch.rand(9).sort(descending=True).values,
        labels=torch.randint(1, 3, (9,)),
        sigma=torch.rand(9, 4) + 0.1,
    )
    again = read(tmp_path, *result_entries(image, 12, CATEGORIES))
    empty, same = again.detections
    assert len(empty.scores) == 0
    assert empty.sigma.shape == (0, 4)
    assert again.left_out == again.without_sigma == 0
    for name in ("boxes", "scores", "labels", "sigma"):
        assert torch.equal(getattr(same, name), getattr(image, name).to(getattr(same, name).dtype))


def test_a_result_is_ranked_and_its_box_has_corners(tmp_path):
    best = {**GOOD, "score": 0.9, "category_id": 3}
    first, _ = read(tmp_path, GOOD, best, {**GOOD, "bbox": [5, 5, 0, 1]}).detections
    assert first.scores.tolist() == [0.9, 0.5, 0.5]
    assert first.labels.tolist() == [1, 2, 2]
    assert first.boxes.tolist()[1:] == [[1, 2, 4.5, 6], [5, 5, 5, 6]]
    assert first.sigma is None


def test_sigma_counts_if_every_detection_has_one(tmp_path):
    with_sigma = {**GOOD, "sigma": [1, 2, 3, 4]}
    assert read(tmp_path, with_sigma).detections[0].sigma.tolist() == [[1, 2, 3, 4]]
    mixed = read(tmp_path, with_sigma, GOOD, {**GOOD, "sigma": None})
    assert mixed.without_sigma == 2
    assert mixed.detections[0].sigma is None


@pytest.mark.parametrize(
    ("ids", "image_id", "place"),
    [
        ((7, 12), 12, 1),
        ((7, 12), "12", 1),
        ((7, 12), "val/000012.jpg", 1),
        (("000007", "000012"), 12, 1),  # as others number images that have names
        (("000007", "000012"), "000012.png", 1),
        (("a.b", "a.c"), "a.c", 1),
        (("a.b", "a.c"), "a.d", None),
        (("a.b", "c"), "a.d", None),  # a dot is part of a name: photos of one minute by seconds
        (("a.b", "a"), "a.d", None),
        (("a.b", "a.c"), "val/a.c.JPG", 1),
        (("1", "01"), "01", 1),
    ],
)
def test_images_are_found_by_number_or_name(tmp_path, ids, image_id, place):
    result = read(tmp_path, {**GOOD, "image_id": ids[0]}, {**GOOD, "image_id": image_id}, ids=ids)
    expected = [1, 0]
    if place is not None:
        expected[place] += 1
    assert [len(image.scores) for image in result.detections] == expected
    assert result.left_out == (place is None)


@pytest.mark.fault("R42")
def test_detections_of_other_images_are_counted_and_named(tmp_path):
    result = read(tmp_path, {**GOOD, "image_id": 99}, GOOD, {**GOOD, "image_id": 98})
    assert (result.left_out, result.first_left_out) == (2, 99)
    with pytest.raises(DataError, match=r"none of the 1 detections is of one of the 2 images.*99"):
        read(tmp_path, {**GOOD, "image_id": 99})


def test_two_ids_that_mean_one_image_are_refused(tmp_path):
    """A file of all splits calls two images 1.jpg, of which the data have one."""
    one, other = ({**GOOD, "image_id": f"{split}/1.jpg"} for split in ("train", "val"))
    with pytest.raises(DataError, match=r"'train/1.jpg' and 'val/1.jpg' both mean the image '1'"):
        read(tmp_path, one, other, ids=("1", "2"))
    again = read(tmp_path, one, one, ids=("1", "2"))
    assert [len(image.scores) for image in again.detections] == [2, 0]
    both = read(tmp_path, one, other, ids=("train/1", "val/1"))
    assert [len(image.scores) for image in both.detections] == [1, 1]


@pytest.mark.fault("R42")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"category_id": 0}, "category_id 0, and the data have 3, 90"),
        ({"bbox": [1, 2, -3, 4]}, r"entry 1 has the bbox \[1, 2, -3, 4\]"),
        ({"bbox": [1, 2, 3]}, "entry 1 has the bbox"),
        ({"score": "0.5"}, "entry 1 has the score '0.5'"),
        ({"score": True}, "entry 1 has the score True"),
        ({"sigma": [1, 1, 0, 1]}, "entry 1 has the sigma"),
        ({"image_id": None}, "entry 1 has the image_id None"),
        ({"score": float("nan")}, "NaN is not a JSON number"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(tmp_path, change, sentence):
    with pytest.raises(DataError, match=sentence):
        read(tmp_path, GOOD, {**GOOD, **change})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "the list of detections is empty"),
        ("{}", "COCO results are a list"),
        ("[3]", "entry 0 is no object"),
        ('[{"image_id": 7}]', "entry 0 has no category_id"),
        ("[", "cannot be read"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, sentence):
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_results(file, IDS, CATEGORIES)
