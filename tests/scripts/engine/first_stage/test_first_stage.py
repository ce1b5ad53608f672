"""Proposals of the first stage on disk: a file with more answers a smaller question."""

import torch

from data.records import Proposals
from scripts.engine.first_stage.first_stage import load_first_stage, save_first_stage


def test_proposals_come_back_from_disk(tmp_path):
    saved = [
        Proposals(boxes=torch.rand(count, 4), objectness=torch.arange(count, 0, -1).float())
        for count in (5, 0, 2)
    ]
    key = {
        "checkpoint": "abc",
        "count": 5,
        "images": ["1", "2", "3"],
        "sizes": [[1, 2], [3, 4], [5, 6]],
        "pixels": "ef01",
    }
    save_first_stage(tmp_path / "p.pt", saved, key)
    for count, images in ((5, 3), (5, 1), (3, 3), (1, 2)):
        smaller = {
            **key,
            "count": count,
            "images": key["images"][:images],
            "sizes": key["sizes"][:images],
        }
        loaded = load_first_stage(tmp_path / "p.pt", smaller)
        assert [len(image.boxes) for image in loaded] == [min(count, known) for known in (5, 0, 2)][
            :images
        ]
        for before, after in zip(saved, loaded, strict=False):
            torch.testing.assert_close(after.boxes, before.boxes[:count])
            torch.testing.assert_close(after.objectness, before.objectness[:count])
    for other in (
        {"checkpoint": "abd"},
        {"count": 6},
        {"images": ["1", "2", "4"]},
        {"images": ["1", "2", "3", "4"]},
        {"sizes": [[1, 2], [3, 4], [5, 7]]},
        {"pixels": "ef02"},
    ):
        assert load_first_stage(tmp_path / "p.pt", key | other) is None
    assert load_first_stage(tmp_path / "none.pt", key) is None
