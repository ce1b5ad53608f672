"""What is timed beside a peer computes what the peer computes."""

import numpy as np
import pytest
import torch

from data.boxes import area
from models.pooling.multi_level import level_of
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.speed import image_sizes, loading, pooling, postprocessing, scoring, startup
from scripts.engine.speed.numpy_loop import loop_soft_nms_and_vote
from scripts.engine.synthetic import dense_candidates, trained_candidates

CPU = torch.device("cpu")


@pytest.mark.parametrize("changed", [{}, {"voter_iou": 0.01, "max_detections": 20}])
def test_the_numpy_loop_is_our_postprocessing(changed):
    config = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02, **changed)
    generator = torch.Generator().manual_seed(0)
    for candidates in (
        trained_candidates(size=(60, 100), num_classes=4, generator=generator),
        dense_candidates(rois=30, num_classes=3, size=(60, 100), generator=generator),
    ):
        ours = postprocess(candidates, config)
        boxes, scores = loop_soft_nms_and_vote(candidates, config)
        np.testing.assert_allclose(scores, ours.scores.numpy(), rtol=1e-4)
        np.testing.assert_allclose(boxes, ours.boxes.numpy(), atol=1e-2)


def test_every_pooling_operator_computes_what_its_peer_does(monkeypatch):
    monkeypatch.setattr(pooling, "MAP", (3, 9, 12))
    monkeypatch.setattr(pooling, "POSITION_SENSITIVE", 2)
    monkeypatch.setattr(pooling, "ROIS", (5, 9))
    works = list(pooling.pooling(CPU))
    assert len(works) == 6 * 2 * 2
    for work in works:
        for ours, theirs in zip(tensors(work.ours()), tensors(work.peer()), strict=True):
            assert ours.shape == theirs.shape
            # torchvision has no precise RoI pooling; its PSRoIPool leaves out the last pixel
            if not work.name.startswith(("precise", "PSRoIPool")):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3, msg=work.name)


def tensors(result):
    return [result] if isinstance(result, torch.Tensor) else result


def test_rois_of_all_sizes_are_on_every_level_and_in_the_image():
    boxes = pooling.rois_of_all_sizes(512, (800, 1344), torch.Generator().manual_seed(0))[:, 1:]
    assert level_of(boxes, levels=4).bincount(minlength=4).min() >= 10
    assert boxes.min() >= 0
    assert (boxes <= torch.tensor([1344, 800, 1344, 800]) + 1e-3).all()
    assert area(boxes).min() >= 16**2 - 1


def test_sizes_of_postprocessing_are_those_of_its_candidates(monkeypatch):
    monkeypatch.setattr(postprocessing, "IN_A_CLASS", (3, 8))
    monkeypatch.setattr(postprocessing, "EACH", 5)
    works = list(postprocessing.postprocessing(CPU))
    assert [work.size for work in works if "one class" in work.name] == [3, 8, 3, 8]
    photos = [work for work in works if work.grows == "images"]
    assert [len(work.ours()) for work in photos] == [1, 2, 4, 8]
    assert [len(work.peer()) for work in photos] == [1, 2, 4, 8]


def test_both_backbones_see_sizes_of_their_own_that_are_new_or_known():
    """The peer's maps are as large as ours, so that both do the same work."""
    new, known = image_sizes.image_sizes(CPU)
    for work, widths in ((new, [(25, 26), (26, 26)]), (known, [(25, 26), (25, 26)])):
        for ours, theirs in widths:
            assert work.ours()[0].shape == (1, 320, 19, ours)
            assert work.peer().shape == (1, 320, 19, theirs)


def test_scoring_gives_the_peers_numbers(monkeypatch):
    monkeypatch.setattr(scoring, "IMAGES", (4,))
    (work,) = scoring.scoring(CPU)
    assert work.ours() == pytest.approx(work.peer(), rel=0, abs=0, nan_ok=True)


def test_every_photo_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "PHOTOS", 2)
    monkeypatch.setattr(loading, "SIZE", (40, 50))
    photos = loading.write_photos(tmp_path)
    assert [photos[index].image.shape for index in range(2)] == [(3, 40, 50)] * 2
    monkeypatch.setattr(loading, "WORKERS", (0,))
    (work,) = loading.loading(CPU)
    with pytest.raises(FileNotFoundError):  # the files last as long as the work is measured
        work.peer()


def test_a_command_that_fails_is_not_timed():
    failing = startup.python("-c", "raise SystemExit(3)")
    with pytest.raises(Exception, match="exit status 3"):
        failing()
