"""scripts.explore: its shares are those of scripts.shares, and the page shows every image."""

import re
import shutil
from dataclasses import replace

import pytest
import torch

from data.records import Target
from data.scoring.anchor_reach import (
    octave_edges,
    unreached,
    unreached_by_class,
    unreached_by_side,
)
from scripts.engine.environment import open_dataset
from scripts.engine.explore import explored
from scripts.engine.explore.anchor_reach import count_reach, reach_of_image
from scripts.engine.explore.explored import ExploreOptions, chosen_images, open_explored
from scripts.engine.explore.shares import FeatureShapes, count_shares, image_counts
from scripts.engine.explore.training_pictures import pictures_of
from scripts.engine.explore.training_sights import training_sight
from scripts.explore import main
from scripts.reports import explore as report
from scripts.reports.page.views import PictureView
from tests.networks import change
from tests.page_reader import Reader
from tests.scripts.test_detect import write_checkpoint
from tests.scripts.test_shares import ONE
from tests.tiny import TINY, TINY_KLRPN, environment, know_tiny, tiny_options

SHOWN = PictureView(uri="data:,", alt="a plot", caption="a plot")


def target(*boxes, labels=None):
    labels = torch.tensor(labels or [1] * len(boxes))
    return Target(boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), labels=labels)


def reach(*boxes, labels=None):
    return reach_of_image(FeatureShapes(ONE), target(*boxes, labels=labels), (64, 64), 1)


@pytest.fixture
def no_plots(monkeypatch):
    for name in ("bar_plot", "histogram"):
        monkeypatch.setattr(report, name, lambda *_, **__: SHOWN)


def opened(data, out, monkeypatch, run=TINY, **options):
    know_tiny(monkeypatch, {"kl_loss/tiny": run})
    given = ExploreOptions(run="kl_loss/tiny", environment=environment(data, out), **options)
    return open_explored(given)


def test_an_anchor_by_hand_reaches_an_object():
    """Anchors of 16 px that do not overlap: one is the object; one overlaps the other most."""
    found = reach([16, 16, 32, 32], [0, 0, 16, 8])
    assert found.best_iou.tolist() == [1.0, 0.5]
    assert found.positives.tolist() == [1, 1]
    assert found.sides.tolist() == pytest.approx([16, 128**0.5])
    assert found.ratios.tolist() == [1.0, 0.5]


def test_of_two_objects_in_one_place_one_has_no_anchor():
    found = reach([16, 16, 32, 32], [16, 16, 32, 32], labels=[1, 2])
    assert found.positives.tolist() == [1, 0]
    assert [(u.name, u.below, u.without) for u in unreached_by_class(found, ["a", "b"], 0.7)] == [
        ("a", 0, 0),
        ("b", 0, 1),
    ]


def test_an_image_without_objects_counts():
    found = reach()
    assert found.per_image.tolist() == [0]
    assert not len(found.best_iou) + len(found.positives)


def test_the_positive_anchors_of_all_objects_are_those_that_shares_count():
    boxes = target([16, 16, 32, 32], [3, 5, 17, 30], [40, 8, 60, 33], [0, 0, 31, 32])
    shapes = FeatureShapes(TINY)
    counts = image_counts(shapes, boxes.boxes, (64, 80), 16)
    found = reach_of_image(shapes, boxes, (64, 80), 16)
    assert int(found.positives.sum()) == sum(counts.positives) > 3
    assert found.sides.tolist() == pytest.approx(counts.sides)


def test_the_shares_are_those_of_scripts_shares(data, tmp_path, monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY})
    dataset = open_dataset(TINY, environment(data, tmp_path), TINY.data.train)
    found, shares = count_reach(TINY, dataset, 5)
    assert shares == count_shares("kl_loss/tiny", environment(data, tmp_path), 5)
    assert len(found.per_image) == 5
    assert len(found.labels) == int(found.per_image.sum())


def test_the_kinds_add_up():
    parts = reach([16, 16, 32, 32], [0, 0, 16, 8], [1, 1, 4, 60], labels=[1, 3, 3])
    total = unreached(parts, torch.ones(3, dtype=torch.bool), "all", 0.7)
    assert (total.objects, total.below) == (3, 2)
    for kinds in (unreached_by_side(parts, 0.7), unreached_by_class(parts, "abc", 0.7)):
        for name in ("objects", "below", "without"):
            assert sum(getattr(kind, name) for kind in kinds) == getattr(total, name)


def test_edges_hold_all_values():
    for values in ([3.0], [1.0, 2.0, 4.0], [0.3, 700.0], []):
        edges = octave_edges(torch.tensor(values))
        assert all(edges[0] <= value < edges[-1] for value in values)
        assert edges == sorted(set(edges))


@pytest.mark.parametrize("run", [TINY, replace(TINY_KLRPN, name="tiny")], ids=lambda r: r.data)
def test_an_image_is_seen_as_training_sees_it(data, tmp_path, monkeypatch, run):
    shown = opened(data, tmp_path, monkeypatch, run)
    sight = training_sight(shown, 0)
    kept = sight.anchors
    rpn, most = run.model.rpn, run.model.rpn.anchors_per_image
    sampled = kept.positive | kept.negative
    assert int(sampled.sum()) <= most
    assert int(kept.positive.sum()) <= most * rpn.positive_share
    assert not (kept.between & sampled).any()
    columns = torch.tensor(kept.counts()).sum(0).tolist()
    inside, positive, _, _, between, crossing = columns
    assert inside + crossing == len(kept.boxes)
    assert inside == positive + kept.negatives + between
    foreground = sight.rois.labels > 0
    assert foreground.any()
    assert len(foreground) <= run.model.roi.rois_per_image
    assert len({version.mirrored for version in sight.versions}) == 2
    assert len(pictures_of(sight, shown.dataset.classes)) == 4 + len(sight.versions)


def test_what_is_not_trained_on_is_marked(data, tmp_path, monkeypatch):
    shown = opened(data, tmp_path, monkeypatch)
    sight = training_sight(shown, 0)
    assert "gray" not in pictures_of(sight, shown.dataset.classes)[0].caption
    sight = replace(sight, trained=torch.zeros_like(sight.trained))
    caption = pictures_of(sight, shown.dataset.classes)[0].caption
    assert f"gray: {len(sight.trained)} not trained on; bands: the true sigma" in caption


@pytest.mark.usefixtures("no_plots")
def test_the_page_shows_every_image_and_names_those_that_cannot_be_read(
    data, tmp_path, monkeypatch, capsys
):
    shutil.copytree(data, tmp_path / "set")
    [broken] = (tmp_path / "set").rglob("000003.jpg")
    broken.write_bytes(b"no image")
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY})
    page = tmp_path / "a" / "page.html"
    names = ["000002.jpg", "000003.jpg", "000005.jpg"]
    words = ["--images", *names, "--counted", "2", "--to", str(page)]
    assert main(["kl_loss/tiny", *words, *tiny_options(tmp_path / "set", tmp_path)]) == 0
    text, printed = page.read_text(), capsys.readouterr().out
    reader = Reader(text)
    assert all(name in text for name in names)
    assert [f"image-{k}" in reader.ids for k in (1, 2, 3)] == [True, True, False]
    assert re.search(r"not shown: .*000003\.jpg", printed)
    assert re.search(r"<li>.*000003\.jpg.*</li>", text)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in reader.tags}
    assert "://" not in re.sub(r"data:[^\"]*", "", text)
    images = [given for tag, given in reader.tags if tag == "img"]
    assert all(given["src"].startswith("data:") and given["alt"] for given in images)
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert "an untrained network, its weights random" in text


@pytest.mark.usefixtures("no_plots")
def test_own_data_and_a_trained_network(data, tmp_path):
    checkpoint = write_checkpoint(tmp_path, log_variance=True)
    page = tmp_path / "page.html"
    words = ["own/demo", "--data", data, "--images", "000002.jpg", "--checkpoint", checkpoint]
    assert main([str(word) for word in [*words, "--to", page]]) == 0
    text = page.read_text()
    assert str(checkpoint) in text
    assert "found" in text
    assert "000002.jpg" in text
    assert "000001.jpg" not in text


def test_mistakes_are_sentences(data, tmp_path, monkeypatch, capsys):
    shown = opened(data, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"--images cat: there is no such training image"):
        chosen_images(shown.dataset, ["cat"], range(12))
    assert chosen_images(shown.dataset, 3, range(12)) == [0, 4, 8]
    assert chosen_images(shown.dataset, 50, range(12)) == [*range(12)]
    with pytest.raises(ValueError, match="at most 20"):
        ExploreOptions(run="", environment=environment(data, tmp_path), images=25)
    saved = replace(TINY, model=change(TINY.model, rpn_kind="saved"))
    with pytest.raises(ValueError, match="has no anchors to show"):
        opened(data, tmp_path, monkeypatch, saved)
    assert main(["kl_loss/tiny", "--augment"]) == 2
    assert "belong to an untrained recipe of own/" in capsys.readouterr().err
    assert main(["own/small", "--data", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_an_untrained_network_is_always_the_same(monkeypatch):
    first, second = (explored.untrained(TINY, torch.device("cpu")) for _ in range(2))
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
