"""What is timed of a row: the network, in each of its rounds, and the post-processing."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from experiments.records import Row
from postprocess.pipeline import PostprocessConfig
from postprocess.refine import Refinement
from scripts.engine.evaluation.cost import detection
from tests.tiny import TINY

ROW = Row(label="two rounds", run=TINY, postprocess=PostprocessConfig(), rounds=2)


def test_every_round_is_timed():
    asked = []

    def candidates(batch, threshold, *, rounds):
        asked.append((batch, threshold, rounds))
        return []

    assert detection(SimpleNamespace(mask=None, candidates=candidates), "an image", ROW)() == []
    assert asked == [("an image", ROW.postprocess.score_threshold, 2)]


def test_what_is_not_timed_has_no_time():
    for mask, refine in ((object(), None), (None, Refinement())):
        with pytest.raises(ValueError, match="two rounds: speed_ms times neither refinement"):
            detection(SimpleNamespace(mask=mask), "an image", replace(ROW, refine=refine))
