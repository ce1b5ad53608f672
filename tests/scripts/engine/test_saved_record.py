"""Records that went through JSON come back equal; a field from the future is named."""

from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.records import Run
from experiments.scales import SCALES, at_scale
from scripts.engine.places import papers, runs_of
from scripts.engine.run_folder.checkpoint import plain
from scripts.engine.saved_record import saved_record

RUNS = {f"{paper}/{name}": run for paper in papers() for name, run in runs_of(paper).items()}


@pytest.mark.parametrize("scale", SCALES)
def test_every_run_comes_back_as_it_was(scale):
    """Groups are records again, tuples tuples, and None stays None."""
    for run in RUNS.values():
        scaled = at_scale(run, scale)
        assert saved_record(Run, plain(asdict(scaled)), Path("x.pt")) == scaled


@pytest.mark.parametrize(("group", "record"), [("rpn", "RPNConfig"), ("mask", "MaskConfig")])
def test_an_unknown_field_is_named_with_its_record(group, record):
    saved = plain(asdict(RUNS["kl_loss/r50_fpn_mask"]))
    saved["model"][group]["color"] = "red"
    with pytest.raises(
        ValueError, match=rf"x\.pt has {record} fields .* \(color\); use the version"
    ):
        saved_record(Run, saved, Path("x.pt"))
