"""Histograms of a training: what they are of, and that taking them changes nothing."""

import copy
from itertools import islice

import pytest
import torch

from data.build import build_dataset
from data.loader import train_batches
from models.build import build_detector
from scripts.engine.tensorboard.distributions import distributions
from scripts.engine.tensorboard.histograms import Histograms
from tests.tiny import TINY, TINY_KL, TINY_KLRPN, tiny_dataset


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    dataset = build_dataset(
        TINY.data, tiny_dataset(tmp_path_factory.mktemp("data")), TINY.data.train
    )
    batches = train_batches(dataset, TINY.data, batch_size=2, seed=0, start=0, workers=0)
    return next(islice(batches, 1))


def network(run):
    torch.manual_seed(0)
    return build_detector(run.model).train()


SIDES = {f"box_head/log_variance_{side}" for side in ("x1", "y1", "x2", "y2")}
OVERLAPS = {"rois/iou_foreground", "rois/iou_background"}


@pytest.mark.parametrize(
    ("run", "names"),
    [
        (TINY_KL, {"anchors/objectness_positive", "anchors/objectness_negative", *SIDES}),
        (TINY_KLRPN, {"anchors/log_variance_positive", "anchors/log_variance_negative"}),
    ],
    ids=["kl", "kl_rpn"],
)
def test_nothing_that_is_trained_or_drawn_changes(batch, run, names):
    """The second network has batch norms that learn."""
    detector = network(run)
    before, state = copy.deepcopy(detector.state_dict()), torch.get_rng_state()
    values = distributions(detector, batch)
    assert set(values) == names | OVERLAPS
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert detector.training


def test_overlaps_are_on_their_sides_of_the_threshold(batch):
    values = distributions(network(TINY_KL), batch)
    foreground = values["rois/iou_foreground"]
    background = values["rois/iou_background"]
    assert foreground[foreground.isfinite()].min() >= TINY_KL.model.roi.positive_iou
    assert background[background.isfinite()].max() < TINY_KL.model.roi.positive_iou
    counted = foreground.isfinite().sum() + background.isfinite().sum()
    assert counted <= len(foreground) == 2 * TINY_KL.model.roi.rois_per_image
    for side in SIDES:
        assert torch.equal(values[side].isfinite(), foreground.isfinite())


def test_anchors_are_those_that_the_loss_samples(batch):
    """Of KL-RPN four values an anchor."""
    detector = network(TINY_KLRPN)
    values = distributions(detector, batch)
    with torch.no_grad():
        detector.eval()
        predictions = detector.rpn(detector.features(batch), batch.padded_size)
        targets = detector.rpn.targets(predictions, batch)
    for kind, mask in (("positive", targets.positive), ("negative", targets.negative)):
        shown = values[f"anchors/log_variance_{kind}"]
        expected = predictions.output.log_variance[mask].flatten().sort().values
        assert torch.equal(shown[shown.isfinite()].sort().values, expected)


def test_values_that_do_not_count_are_left_out_and_written_once():
    written = []

    class Log:
        def add_histogram(self, name, values, updates):
            written.append((name, values.tolist(), updates))

    histograms = Histograms(Log())
    nan = float("nan")
    values = {"a": torch.tensor([1.0, nan, 2.0]), "b": torch.tensor([nan])}
    histograms.take(values, 7)
    assert not written
    histograms.write()
    histograms.write()
    assert written == [("a", [1.0, 2.0], 7)]
