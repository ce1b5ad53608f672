"""scripts.overhead times the update that scripts.train makes."""

import pytest

from scripts import overhead
from scripts.engine.speed.overhead import Overhead
from scripts.engine.timing import Times


@pytest.mark.parametrize(("scale", "frozen"), [("mini", False), ("lite", True)])
def test_what_the_training_freezes_is_frozen(monkeypatch, scale, frozen):
    """At mini, from scratch, nothing; at lite the first stages, whose weights are pretrained."""
    given = []

    def measured(detector, *_):
        given.append(detector)
        times = Times(q1=1.0, median=1.0, q3=1.0)
        return Overhead(bare=times, trained=times, shared=times, save=1.0)

    monkeypatch.setattr(overhead, "measure_overhead", measured)
    options = ["kl_loss/vgg16_voc", "--scale", scale, "--device", "cpu", "--repeats", "1"]
    assert overhead.main(options) == 0
    (detector,) = given
    first = next(detector.backbone.parameters())
    assert first.requires_grad is not frozen
    assert all(p.requires_grad for p in detector.roi.parameters())
