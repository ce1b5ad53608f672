"""Saved proposals: ours come back as they were, Detectron's in our convention, and each is cleaned
as Detectron cleans it.
"""

import os
import pickle

import numpy as np
import pytest
import torch

from data.errors import DataError
from data.formats.saved_proposals import (
    join_proposals,
    load_proposals,
    save_proposals,
    saved_key,
)
from data.records import Proposals

SIZE = (100, 200)


def proposals(*counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        Proposals(
            boxes=torch.rand(count, 4, generator=generator),
            objectness=torch.arange(count, 0, -1).float(),
        )
        for count in counts
    ]


def test_what_is_saved_comes_back(tmp_path):
    ids, saved = (7, "000005", 12, "a/b"), proposals(3, 0, 2, 1)
    save_proposals(tmp_path / "new" / "p.npz", ids, saved, key="abc")
    found = load_proposals(tmp_path / "new" / "p.npz")
    assert found.image_ids == ids
    assert [type(image_id) for image_id in found.image_ids] == [int, str, int, str]
    assert len(found) == 4
    assert found.key == saved_key(tmp_path / "new" / "p.npz") == "abc"
    assert found.boxes.dtype == found.scores.dtype == np.float32
    for i, image in enumerate(saved):
        rows = slice(found.starts[i], found.starts[i + 1])
        np.testing.assert_array_equal(found.boxes[rows], image.boxes)
        np.testing.assert_array_equal(found.scores[rows], image.objectness)
        assert found.index(ids[i]) == i
    assert found.index("7") == 0  # Detectron2 compares ids as text
    assert found.index("5") is None
    assert os.listdir(tmp_path / "new") == ["p.npz"]
    with np.load(tmp_path / "new" / "p.npz", allow_pickle=False) as archive:
        assert set(archive) == {"ids", "integer", "counts", "boxes", "scores", "key"}


def test_no_images_and_no_boxes(tmp_path):
    save_proposals(tmp_path / "p.npz", (), [])
    assert load_proposals(tmp_path / "p.npz").image_ids == ()
    save_proposals(tmp_path / "p.npz", (1, 2), proposals(0, 0))
    assert load_proposals(tmp_path / "p.npz").proposals_of(2, SIZE).shape == (0, 4)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    save_proposals(tmp_path / "p.npz", (1,), proposals(1), key="old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        save_proposals(tmp_path / "p.npz", (1,), proposals(1), key="new")
    assert saved_key(tmp_path / "p.npz") == "old"
    assert os.listdir(tmp_path) == ["p.npz"]


DETECTRON = {
    "ids": [9, 4],
    "boxes": [
        np.array([[0, 0, 9, 19], [10, 10, 29, 29]], dtype=np.float32),
        np.zeros((0, 4), np.float32),
    ],
    "scores": [np.array([0.9, 0.1], dtype=np.float32), np.zeros(0, np.float32)],
    "cfg": "MODEL: {}",
}
DETECTRON2 = {
    "ids": np.array([9, 4]),
    "boxes": [np.array([[10.0, 10, 30, 30], [0, 0, 10, 20]]), []],
    "objectness_logits": [np.array([-2.0, 3.0]), []],
    "bbox_mode": 0,
}
EXPECTED = [[0, 0, 10, 20], [10, 10, 30, 30]]


def pickled(folder, content, protocol=2):
    path = folder / "proposals.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize(
    "content",
    [
        DETECTRON,
        {"indexes": DETECTRON["ids"], "boxes": DETECTRON["boxes"], "scores": DETECTRON["scores"]},
        DETECTRON2,
        {
            **{name: DETECTRON2[name] for name in ("boxes", "objectness_logits")},
            "image_ids": ["9", "4"],
        },
        {
            **DETECTRON2,
            "bbox_mode": 1,
            "boxes": [np.array([[10.0, 10, 20, 20], [0, 0, 10, 20]]), np.zeros((0, 4))],
        },
    ],
)
def test_others_files_hold_the_same_boxes(tmp_path, content):
    """Two boxes of 10 x 20 and 20 x 20 px: inclusive corners, continuous ones, and corner with
    size.
    """
    found = load_proposals(pickled(tmp_path, content))
    # best first, whatever the order in the file
    assert found.proposals_of(9, SIZE).tolist() == EXPECTED
    assert found.proposals_of(4, SIZE).shape == (0, 4)
    assert found.image_ids == tuple(content.get("image_ids", (9, 4)))
    assert (np.diff(found.scores) < 0).all()
    assert found.key == ""


def test_equal_scores_keep_the_order_of_the_file(tmp_path):
    boxes = np.arange(80, dtype=np.float32).reshape(20, 4) + np.float32([0, 0, 10, 10])
    content = {"ids": [1], "boxes": [boxes], "scores": [np.array([0.5] * 19 + [0.6])]}
    order = [19, *range(19)]
    np.testing.assert_array_equal(
        load_proposals(pickled(tmp_path, content)).boxes[:, 0], boxes[order, 0]
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"scores": [np.zeros(2), np.zeros(1)]},
            r"boxes of shape \(0, 4\) and scores of shape \(1,\) for "
            r"image 4",
        ),
        ({"boxes": [np.zeros((2, 5)), []]}, r"boxes of shape \(2, 5\)"),
        ({"boxes": ["ab", []]}, "image 9 that are no numbers"),
        ({"boxes": [np.full((2, 4), np.nan), []]}, "a box or score of image 9 that is not finite"),
        ({"scores": [np.array([np.inf, 0]), []]}, "a box or score of image 9 that is not finite"),
        ({"ids": [9]}, "1 ids, 2 boxes, 2 scores; there must be one of each"),
        ({"ids": 9}, "ids that are no list"),
        ({"ids": [9, 9]}, "the image '9' twice"),
        ({"ids": [9, 2.5]}, "calls an image 2.5"),
        ({"bbox_mode": 4}, "bbox_mode 4"),
    ],
)
def test_others_files_with_a_mistake(tmp_path, change, says):
    with pytest.raises(DataError, match=f"proposals.pkl has .*{says}|proposals.pkl {says}"):
        load_proposals(pickled(tmp_path, DETECTRON | change))


def test_files_of_something_else(tmp_path):
    with pytest.raises(DataError, match=r"no file of proposals .*: it has 'blobs', 'cfg'; give"):
        load_proposals(pickled(tmp_path, {"blobs": {}, "cfg": ""}))
    with pytest.raises(DataError, match="it is a list; give"):
        load_proposals(pickled(tmp_path, [1, 2]))
    with pytest.raises(DataError, match=r"asks for posix\.system"):
        load_proposals(pickled(tmp_path, {"boxes": os.system}))
    with pytest.raises(DataError, match="do not exist"):
        load_proposals(tmp_path / "none.npz")
    torch.save({"model": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="holds no saved proposals"):
        load_proposals(tmp_path / "weights.pth")
    assert saved_key(tmp_path / "weights.pth") is None
    assert saved_key(tmp_path / "none.npz") is None


def ours(folder, **changed):
    members = {
        "ids": np.array(["1", "2"]),
        "integer": np.array([True, True]),
        "counts": np.array([1, 1]),
        "boxes": np.zeros((2, 4), np.float32),
        "scores": np.zeros(2, np.float32),
        "key": np.array("k"),
    }
    np.savez(folder / "p.npz", **members | changed)
    return folder / "p.npz"


@pytest.mark.parametrize(
    "change",
    [
        {"counts": np.array([1, 2])},
        {"counts": np.array([3, -1])},
        {"counts": np.array([2])},
        {"counts": np.array([1.0, 1.0])},
        {"boxes": np.zeros((2, 3), np.float32)},
        {"boxes": np.zeros((2, 4))},
        {"scores": np.zeros((2, 1), np.float32)},
        {"ids": np.array(["1", "x"])},
        {"ids": np.array(["1"])},
        {"ids": np.array(["1", None], dtype=object)},
        {"boxes": np.full((2, 4), np.inf, np.float32)},
        {"ids": np.array(["1", "1"])},
    ],
)
def test_damaged_files_of_ours(tmp_path, change):
    assert len(load_proposals(ours(tmp_path))) == 2
    with pytest.raises(DataError, match=r"p\.npz (is damaged|holds no saved proposals|has )"):
        load_proposals(ours(tmp_path, **change))


def test_half_a_file_is_a_sentence(tmp_path):
    whole = ours(tmp_path).read_bytes()
    for end in (2, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "p.npz").write_bytes(whole[:end])
        with pytest.raises(DataError, match="holds no saved proposals, or is damaged"):
            load_proposals(tmp_path / "p.npz")
        assert saved_key(tmp_path / "p.npz") is None


def test_files_of_other_images(tmp_path):
    save_proposals(tmp_path / "p.npz", (1, 2, 3), proposals(1, 1, 1))
    found = load_proposals(tmp_path / "p.npz")
    found.check_covers((3, 1))
    found.check_covers(())
    with pytest.raises(
        DataError, match=r"p\.npz has no proposals of image 5 and of 1 more images; give"
    ):
        found.check_covers((1, 5, 6))
    with pytest.raises(DataError, match=r"p\.npz has no proposals of image 'x'; give"):
        found.proposals_of("x", SIZE)
    with pytest.raises(
        DataError,
        match=r"of 3 images, which are called 1 and so on, but of none of the "
        r"2 images of this data set, such as '000001'",
    ):
        found.check_covers(("000001", "000002"))


def test_several_files_are_one(tmp_path):
    save_proposals(tmp_path / "a.npz", (1, 2), proposals(2, 1), key="a")
    save_proposals(tmp_path / "b.npz", ("x", 10), proposals(3, 0, seed=1), key="b")
    parts = [load_proposals(tmp_path / name) for name in ("a.npz", "b.npz")]
    both = join_proposals(parts)
    assert both.image_ids == (1, 2, "x", 10)
    assert both.key == "a + b"
    for part in parts:
        for image_id in part.image_ids:
            torch.testing.assert_close(
                both.proposals_of(image_id, SIZE, min_size=0),
                part.proposals_of(image_id, SIZE, min_size=0),
            )
    assert join_proposals(parts[:1]) is parts[0]
    with pytest.raises(DataError, match=r"a\.npz \+ .*a\.npz has the image '1' twice"):
        join_proposals([parts[0], parts[0]])
