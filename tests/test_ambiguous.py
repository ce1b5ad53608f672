"""Laws of the mini data set: what is drawn, what is written, and that the label noise is what sigma_true says."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from data import ambiguous
from data.ambiguous import (
    BORDER_SIGMAS,
    CLASSES,
    OBJECTS,
    OCCLUSION_SIGMA,
    SHORTEST_NOISY_SIDE,
    SHORTEST_SIDE,
    SOFT_SIGMA,
    STAMP,
    ensure_dataset,
    hidden_fractions,
    label_sigma,
    main,
    scene,
    write_dataset,
)
from data.coco import CocoDataset
from data.errors import DataError
from data.voc import VocDataset

BRICK, BALL = 1, 2  # a careless and a careful class


def lengths(boxes):
    return np.tile(boxes[..., 2:] - boxes[..., :2], 2)


def files(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def coco(root, split):
    return json.loads((root / "coco" / "annotations" / f"instances_{split}.json").read_text())


@pytest.fixture(scope="module")
def scenes():
    return [scene(0, "train", index) for index in range(200)]


@pytest.fixture(scope="module")
def stacked(scenes):
    """All objects of the scenes: labels (N,), boxes, clean, sigma, hidden, ramps (N, 4), room (N, 4)."""
    names = ("labels", "boxes", "clean_boxes", "sigma_true", "hidden", "ramps")
    table = {name: np.concatenate([getattr(s, name) for s in scenes]) for name in names}
    table["room"] = np.concatenate(
        [np.hstack([s.clean_boxes[:, :2], np.array(s.image.shape[1::-1]) - s.clean_boxes[:, 2:]]) for s in scenes]
    )
    return table


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("mini") / "set", seed=3, train=6, val=4)


def test_scene_is_a_pure_function_of_seed_split_and_index():
    first, again = scene(5, "val", 7), scene(5, "val", 7)
    for name in ("image", "labels", "boxes", "clean_boxes", "sigma_true", "hidden", "ramps"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    others = [scene(6, "val", 7), scene(5, "train", 7), scene(5, "val", 8)]
    assert all(not np.array_equal(first.clean_boxes, other.clean_boxes) for other in others)


def test_objects_are_valid_and_inside_the_image(scenes, stacked):
    for s in scenes:
        height, width = s.image.shape[:2]
        assert s.image.dtype == np.uint8
        assert s.image.shape[2] == 3
        assert OBJECTS[0] <= len(s.labels) <= OBJECTS[1]
        for boxes in (s.boxes, s.clean_boxes):
            assert (boxes[:, :2] >= 0).all()
            assert (boxes[:, 2:] <= [width, height]).all()
    assert set(stacked["labels"]) == set(range(1, len(CLASSES) + 1))
    assert lengths(stacked["clean_boxes"]).min() >= SHORTEST_SIDE - 0.011  # corners are rounded to 0.01
    assert lengths(stacked["boxes"]).min() >= SHORTEST_NOISY_SIDE - 1e-6
    assert (stacked["sigma_true"] > 0).all()


def test_all_three_coco_sizes_and_both_orientations_occur(scenes, stacked):
    side = np.sqrt(lengths(stacked["clean_boxes"])[:, :2].prod(axis=1))
    shares = [np.mean(side < 32), np.mean((side >= 32) & (side < 96)), np.mean(side >= 96)]
    np.testing.assert_allclose(shares, [0.24, 0.54, 0.22], atol=0.07)
    assert {s.image.shape[0] > s.image.shape[1] for s in scenes} == {True, False}


def test_noise_over_sigma_is_standard_normal(stacked):
    """About 3000 sides: the standard errors are 0.018 (mean), 0.013 (std), 0.009 and 0.004 (coverage)."""
    z = (stacked["boxes"] - stacked["clean_boxes"]) / stacked["sigma_true"]
    assert abs(z.mean()) < 0.06
    assert abs((z * [-1, -1, 1, 1]).mean()) < 0.06  # labels neither shrink nor grow
    assert abs(z.std() - 1) < 0.05
    assert abs(np.mean(abs(z) < 1) - 0.683) < 0.03
    assert abs(np.mean(abs(z) < 2) - 0.954) < 0.015
    correlation = np.corrcoef(z.T)
    assert abs(correlation - np.eye(4)).max() < 0.12  # standard error 0.036: the sides are independent


def test_sigma_is_the_root_of_the_sum_of_squares_of_the_causes():
    """Box 100 x 50: brick 8 %, one side half hidden, a ramp of 20 px; the ball is the same but careful (1 %)."""
    box = np.array([[10.0, 10, 110, 60]] * 2)
    hidden, ramps = np.array([[0.5, 0, 0, 0]] * 2), np.array([[0.0, 0, 20, 0]] * 2)
    sigma = label_sigma(np.array([BRICK, BALL]), box, hidden, ramps)
    occluded, soft = OCCLUSION_SIGMA * 0.5 * 100, SOFT_SIGMA * 20
    expected = [[np.hypot(8, occluded), 4, np.hypot(8, soft), 4], [np.hypot(1, occluded), 0.5, np.hypot(1, soft), 0.5]]
    np.testing.assert_allclose(sigma, expected)


def test_every_cause_raises_sigma(stacked):
    relative = stacked["sigma_true"] / lengths(stacked["clean_boxes"])
    careless = np.array([look.careless > 0.02 for look in CLASSES])[stacked["labels"] - 1][:, None]
    hidden, soft = stacked["hidden"] > 0.5, stacked["ramps"] > 0
    plain = (stacked["hidden"] < 0.01) & ~soft
    assert relative[careless & plain].mean() > 4 * relative[~careless & plain].mean()
    assert relative[~careless & hidden & ~soft].mean() > 4 * relative[~careless & plain].mean()
    assert relative[~careless & soft].mean() > 4 * relative[~careless & plain].mean()
    bound = label_sigma(stacked["labels"], stacked["clean_boxes"], stacked["hidden"], stacked["ramps"])
    np.testing.assert_allclose(stacked["sigma_true"], np.minimum(bound, stacked["room"] / BORDER_SIGMAS), atol=1e-4)


def test_hidden_fraction_is_the_covered_part_of_the_side():
    """A solid 80 x 40 box: the later one covers the upper half of its right side, and nothing of the left one."""
    boxes = np.array([[0.0, 0, 80, 40], [60, 0, 100, 20]])
    solid = [np.ones((40, 80)), np.ones((20, 40))]
    hidden = hidden_fractions(boxes, solid, solid)
    np.testing.assert_allclose(hidden, [[0, 20 / 80, 0.5, 0], [0, 0, 0, 0]])


def test_clean_box_is_the_extent_of_the_drawn_shape():
    """On a black ground without noise, every touched pixel lies in the box, and the shape reaches all four sides."""
    box = np.array([10.3, 20.6, 71.2, 61.9])
    rows, columns = ambiguous._window(box)
    assert (rows, columns) == (slice(20, 62), slice(10, 72))
    for look in CLASSES:
        for t in (0.0, 0.5, 1.0):
            coverage = ambiguous._coverage(box, look.shape, t)
            assert coverage.shape == (42, 62)
            assert coverage.max() <= 1
            near_the_sides = (coverage[1], coverage[-2], coverage[:, 1], coverage[:, -2])
            assert min(line.max() for line in near_the_sides) > 0.3
            assert coverage[0].max() <= 0.67  # 20.6: two of three sample rows lie outside


def test_soft_side_fades_and_the_hard_sides_do_not():
    box = np.array([10.0, 10, 50, 30])
    fade = np.broadcast_to(ambiguous._fade(box, np.array([8.0, 0, 0, 0])), (20, 40))
    np.testing.assert_allclose(fade[0, :8], (np.arange(8) + 0.5) / 8)
    assert (fade[:, 8:] == 1).all()


def test_picture_shows_the_objects_in_their_clean_boxes_and_fades_soft_sides(monkeypatch):
    """White objects on black: nothing outside the boxes; a lone solid object is white, but for its soft side."""
    monkeypatch.setattr(ambiguous, "_background", lambda rng, size: np.zeros((*size, 3)))
    monkeypatch.setattr(ambiguous, "_surface", lambda rng, box, look: np.ones(3))
    hard, soft = 0, 0
    for index in range(150):
        s = scene(0, "train", index)
        white = s.image.mean(axis=2) / 255
        outside = np.ones(white.shape, dtype=bool)
        for box in s.clean_boxes:
            outside[ambiguous._window(box)] = False
        assert white[outside].max(initial=0) < 0.1  # the grain of the picture is 0.02
        for i in np.flatnonzero(s.labels == BRICK):
            x1, y1, x2, y2 = s.clean_boxes[i]
            others = np.delete(s.clean_boxes, i, axis=0)
            if ((others[:, :2] < [x2, y2]) & (others[:, 2:] > [x1, y1])).all(axis=1).any():
                continue  # not alone
            inner = white[int(y1) + 1 : int(y2), int(x1) + 1 : int(x2)]
            edges = (inner[:, 0], inner[0], inner[:, -1], inner[-1])  # in the order x1, y1, x2, y2
            for edge, ramp in zip(edges, s.ramps[i], strict=True):
                if ramp > 6:
                    soft += 1
                    assert edge.max() < 0.4  # about 1.5 px from the side
                elif not s.ramps[i].any():
                    hard += 1
                    assert edge.min() > 0.9
    assert soft >= 3
    assert hard >= 60


def test_large_objects_lie_above_and_below_small_ones(scenes):
    steps = np.concatenate([np.diff(lengths(s.clean_boxes)[:, :2].prod(axis=1)) for s in scenes])
    assert 0.3 < np.mean(steps > 0) < 0.7


def test_writing_twice_gives_the_same_bytes(root, tmp_path):
    again = write_dataset(tmp_path / "again", seed=3, train=6, val=4)
    assert files(again) == files(root)


def test_images_do_not_depend_on_the_counts(root, tmp_path):
    other = write_dataset(tmp_path / "other", seed=3, train=2, val=5)
    common = files(other).keys() & files(root).keys()
    pictures = [path for path in common if path.suffix in (".jpg", ".xml")]
    assert len(pictures) == 3 * (2 + 4)
    assert all(files(other)[path] == files(root)[path] for path in pictures)


@pytest.mark.parametrize(("split", "voc_split", "count"), [("train", "trainval", 6), ("val", "test", 4)])
def test_both_layouts_say_the_same(root, split, voc_split, count):
    from_coco = CocoDataset(root / "coco", split)
    from_voc = VocDataset(root / "VOCdevkit", 2007, voc_split, classes=tuple(look.name for look in CLASSES))
    assert from_coco.classes == from_voc.classes
    assert from_coco.sizes == from_voc.sizes
    assert len(from_coco) == len(from_voc) == count
    for i in range(count):
        first, second = from_coco[i], from_voc[i]
        assert torch.equal(first.image, second.image)
        torch.testing.assert_close(first.target.boxes, second.target.boxes, atol=2e-3, rtol=0)
        assert torch.equal(first.target.labels, second.target.labels)
        assert first.target.sigma_true.shape == first.target.clean_boxes.shape == first.target.boxes.shape


def test_files_hold_what_was_rendered(root):
    drawn = scene(3, "val", 2)
    data = coco(root, "val")
    entry = data["images"][2]
    with Image.open(root / "coco" / "val" / entry["file_name"]) as image:
        difference = np.asarray(image).astype(int) - drawn.image
    assert abs(difference).mean() < 6  # JPEG
    found = [a for a in data["annotations"] if a["image_id"] == entry["id"]]
    for a, label, box, clean, sigma in zip(
        found, drawn.labels, drawn.boxes, drawn.clean_boxes, drawn.sigma_true, strict=True
    ):
        assert a["category_id"] == label
        assert a["iscrowd"] == 0
        np.testing.assert_allclose(a["bbox"], [*box[:2], *(box[2:] - box[:2])], atol=1e-6)
        np.testing.assert_allclose(a["clean_bbox"], [*clean[:2], *(clean[2:] - clean[:2])], atol=1e-6)
        np.testing.assert_allclose(a["sigma_true"], sigma)
    assert [a["id"] for a in data["annotations"]] == list(range(1, len(data["annotations"]) + 1))
    assert data["categories"][0] == {"id": 1, "name": "brick", "supercategory": "thing"}


def test_val_clean_differs_from_val_in_the_boxes_only(root):
    noisy, clean = coco(root, "val"), coco(root, "val_clean")
    assert clean["info"]["image_folder"] == "val"
    assert clean["images"] == noisy["images"]
    for a, b in zip(noisy["annotations"], clean["annotations"], strict=True):
        assert b["bbox"] == b["clean_bbox"] == a["clean_bbox"]
        assert a["bbox"] != b["bbox"]
        assert {k: v for k, v in a.items() if k not in ("bbox", "area")} == {
            k: v for k, v in b.items() if k not in ("bbox", "area")
        }


def test_voc_boxes_are_one_based_with_two_decimals(root):
    drawn = scene(3, "train", 0)
    tree = ElementTree.parse(root / "VOCdevkit" / "VOC2007" / "Annotations" / "000001.xml")
    for thing, label, box in zip(tree.findall("object"), drawn.labels, drawn.boxes, strict=True):
        values = [thing.findtext(f"bndbox/{tag}") for tag in ("xmin", "ymin", "xmax", "ymax")]
        assert values == [f"{v:.2f}" for v in box + np.array([1, 1, 0, 0])]
        assert thing.findtext("name") == CLASSES[label - 1].name


def test_ensure_renders_only_if_the_stamp_differs(tmp_path, monkeypatch):
    rendered = []
    original = ambiguous.scene
    monkeypatch.setattr(ambiguous, "scene", lambda *key: rendered.append(key) or original(*key))
    target = tmp_path / "deep" / "mini"
    assert ensure_dataset(target, seed=1, train=1, val=1) == target
    assert len(rendered) == 2
    ensure_dataset(target, seed=1, train=1, val=1)
    assert len(rendered) == 2
    ensure_dataset(target, seed=2, train=1, val=1)
    assert len(rendered) == 4
    (target / STAMP).write_text("{")
    ensure_dataset(target, seed=2, train=1, val=1)
    assert len(rendered) == 6
    monkeypatch.setattr(ambiguous, "VERSION", ambiguous.VERSION + 1)
    ensure_dataset(target, seed=2, train=2, val=1)
    assert len(rendered) == 9
    assert len(list((target / "coco" / "train").iterdir())) == 2
    assert [path.name for path in target.parent.iterdir()] == ["mini"]  # nothing is left beside it


def test_a_failure_leaves_the_earlier_data_set_and_no_rest(tmp_path, monkeypatch):
    target = write_dataset(tmp_path / "mini", train=1, val=1)
    before = files(target)

    def full(*key):
        raise OSError("no space left")

    monkeypatch.setattr(ambiguous, "scene", full)
    with pytest.raises(OSError, match="no space left"):
        write_dataset(target, train=2, val=1)
    assert files(target) == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("two years")
    with pytest.raises(DataError, match=r"is not a mini data set.*choose an empty or new folder"):
        write_dataset(tmp_path, train=1, val=1)
    assert (tmp_path / "thesis.txt").read_text() == "two years"
    with pytest.raises(DataError, match="is not a mini data set"):
        write_dataset(tmp_path / "thesis.txt", train=1, val=1)


@pytest.mark.parametrize("counts", [{"train": 0}, {"val": 0}, {"train": 100_001}])
def test_counts_out_of_range_are_refused(tmp_path, counts):
    with pytest.raises(DataError, match="asked for"):
        write_dataset(tmp_path / "mini", **counts)


def test_command_line(tmp_path, capsys):
    main(["--out", str(tmp_path / "mini"), "--train", "1", "--val", "1"])
    assert "1 training and 1 validation images" in capsys.readouterr().out
    assert Path(tmp_path / "mini" / "coco" / "annotations" / "instances_val_clean.json").is_file()
