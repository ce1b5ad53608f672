"""Candidates on disk: what goes in comes out, for the same key only."""

from pathlib import Path
from types import SimpleNamespace

import torch

from data.config import DataConfig
from data.records import Candidates
from scripts.engine import results_version
from scripts.engine.evaluation.inference import candidates_key, load_candidates, save_candidates

CHECKPOINT = Path(__file__)  # any file
KEY = {"checkpoint": "abc", "threshold": 0.05}


def candidates(count: int, variances: bool) -> Candidates:
    draw = torch.Generator().manual_seed(count)
    boxes, variance = (torch.rand(count, 4, generator=draw) for _ in range(2))
    return Candidates(
        boxes=boxes,
        scores=torch.rand(count, generator=draw),
        labels=torch.arange(count),
        variances=variance if variances else None,
        pixel_variances=variance * 9 if variances else None,
        localization=variance[:, 0] if variances else None,
    )


def test_round_trip_with_an_image_without_candidates(tmp_path):
    for variances in (True, False):
        images = [candidates(3, variances), candidates(0, variances), candidates(2, variances)]
        save_candidates(tmp_path / "c.pt", images, KEY)
        loaded = load_candidates(tmp_path / "c.pt", KEY)
        assert len(loaded) == 3
        for before, after in zip(images, loaded, strict=True):
            for name in (
                "boxes",
                "scores",
                "labels",
                "variances",
                "pixel_variances",
                "localization",
            ):
                first, second = getattr(before, name), getattr(after, name)
                assert (first is None and second is None) or torch.equal(first, second)


def test_a_file_from_before_localization_is_read(tmp_path):
    path = tmp_path / "c.pt"
    save_candidates(path, [candidates(2, True), candidates(1, True)], KEY)
    content = torch.load(path, weights_only=True)
    del content["localization"]
    torch.save(content, path)
    path.with_suffix(".json").unlink()  # the note is later as well
    loaded = load_candidates(path, KEY)
    assert [image.localization for image in loaded] == [None, None]
    assert loaded[1].boxes.equal(candidates(1, True).boxes)


def test_another_key_or_a_damaged_file_is_computed_again(tmp_path, capsys):
    path = tmp_path / "c.pt"
    assert load_candidates(path, KEY) is None
    save_candidates(path, [candidates(2, True)], KEY)
    assert load_candidates(path, {**KEY, "checkpoint": "other"}) is None
    for content in (b"", b"text", path.read_bytes()[:200]):
        path.write_bytes(content)
        assert load_candidates(path, KEY) is None
        assert "is damaged and is computed again" in capsys.readouterr().out
    torch.save({"model": {}}, path)
    assert load_candidates(path, KEY) is None


class NoImages:
    image_ids, sizes = (), ()

    def __len__(self):
        return 0


def key_of(proposals_test=DataConfig.proposals_test, proposals=None):
    data = SimpleNamespace(proposals_test=proposals_test)
    trained = SimpleNamespace(checkpoint=CHECKPOINT, run=SimpleNamespace(data=data))
    return candidates_key(trained, NoImages(), proposals, 0.05, 1)


def test_the_key_changes_with_the_version_and_the_number_of_proposals(monkeypatch):
    saved = SimpleNamespace(key="p")
    assert key_of(500) == key_of()  # a network with a region proposal network reads no saved ones
    assert key_of(500, saved) != key_of(proposals=saved)
    before = key_of()
    assert "inference_version" not in before  # what older versions kept is still good
    monkeypatch.setattr(results_version, "INFERENCE_VERSION", 2)
    assert key_of() == {**before, "inference_version": 2}
