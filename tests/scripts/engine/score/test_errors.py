"""What voting changed and which images are shown, on detections that can be counted by hand."""

from dataclasses import replace

import numpy as np
import torch

from data.scoring.tide import tide
from scripts.engine.evaluation.refinement import RowDetections
from scripts.engine.score.errors import GREEN, RED, find_errors
from scripts.reports import score_errors as report
from scripts.reports.score_errors import ErrorReport, ImageErrors, error_text, page_of
from tests.data.scoring.test_box_moves import AFTER, BEFORE, OBJECT
from tests.data.synthetic import Synthetic

AFTER_THE_VOTE = replace(AFTER, sigma=torch.tensor([[3.0, 1.0, 2.0, 4.0]]))


class Named(Synthetic):
    classes = ("a", "b")

    def name(self, index):
        return f"{index}.jpg"


def errors(*, voted=True, broken=()):
    """The second image has an object that is missed and a detection that is wrong."""
    wrong = replace(AFTER_THE_VOTE, boxes=AFTER.boxes + 40)
    row = RowDetections(
        detections=[AFTER_THE_VOTE, wrong],
        unvoted=[BEFORE, replace(BEFORE, boxes=BEFORE.boxes + 40)] if voted else None,
    )
    targets = [OBJECT, OBJECT]
    found = find_errors(row, Named(2, broken=broken), targets, 0.5)
    return found, tide(row.detections, targets, 2)


def reported(found, kinds):
    best, worst = (
        [ImageErrors(**vars(image)) for image in images] for images in (found.best, found.worst)
    )
    return ErrorReport(
        names=found.names,
        qualities=found.qualities,
        tide=kinds,
        voting=found.voting,
        best=best,
        worst=worst,
        least_score=0.5,
    )


def has(picture, color):
    return bool((np.asarray(picture) == np.array(color)).all(-1).any())


def test_the_vote_is_that_of_the_matched_detection_alone():
    found, _ = errors()
    labels = found.voting["labels"][0]
    assert (labels["sides"], labels["nearer"], labels["farther"], labels["still"]) == (4, 1, 1, 2)
    assert [part["nearer"] for part in found.voting["labels"]] == [1, 0, 0, 1, 0]
    assert errors(voted=False)[0].voting is None


def test_right_is_green_and_wrong_is_red():
    found, _ = errors()
    [best], [worst] = found.best, found.worst
    assert (best.index, worst.index) == (0, 1)
    for image, color, other in ((best, GREEN, RED), (worst, RED, GREEN)):
        for picture, _ in image.pictures:
            assert has(picture, color)
            assert not has(picture, other)
    assert worst.pictures[0][1].startswith("Labels: 0 found (green), 1 missed (red)")
    assert "white: before voting" in best.pictures[1][1]
    assert "white" not in errors(voted=False)[0].best[0].pictures[1][1]


def test_an_image_that_cannot_be_read_is_named_and_the_rest_is_shown(monkeypatch):
    monkeypatch.setattr(report, "bar_plot", lambda *_: None)
    found, kinds = errors(broken=(1,))
    page = page_of(
        reported(found, kinds),
        dict.fromkeys(("scored", "data", "split", "images", "objects", "detections"), "x"),
    )
    assert page.warnings == ["image 1 is broken."]
    assert [len(section.parts) for section in page.sections[2:]] == [0, 1]


def test_the_text_says_how_many_sides_moved_and_which_images_are_worst():
    voting, clean, worst = error_text(reported(*errors()))
    assert voting == (
        "voting, against the labels: of 4 sides 1 nearer to the truth by 2.00 px in the mean "
        "(2.00 in the median), 1 farther away by 1.00 px in the mean (1.00 in the median), 2 still"
    )
    assert clean.startswith("voting, against the boxes before label noise was added: of 4 sides 2 ")
    assert worst == "worst images (1 is perfect): 1.jpg (0.00); errors.html shows them"
    assert len(error_text(reported(*errors(voted=False)))) == 1
