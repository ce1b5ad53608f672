"""The key of a row's recipe: equal where nothing differs that the numbers depend on."""

from dataclasses import replace

import pytest

from experiments.kl_loss.runs import r50_fpn_2x, r50_fpn_2x_again, r50_fpn_fast_2x, vgg16_coco
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig
from scripts.engine import places
from scripts.engine.environment import Environment
from scripts.engine.evaluation import recipe_key
from scripts.engine.evaluation.recipe_key import chosen, row_recipe

MINI = Environment(scale="mini")


PLAIN = PostprocessConfig()


def key(run, environment=MINI, postprocess=PLAIN, **more):
    return row_recipe(Row("row", run, postprocess, **more), "kl_loss", environment)


def test_names_and_headings_do_not_count():
    assert key(vgg16_coco) == key(replace(vgg16_coco, name="other")) == key(vgg16_coco, group="A")


@pytest.mark.parametrize(
    "changed",
    [
        lambda: key(vgg16_coco, Environment(scale="mini-2x")),
        lambda: key(vgg16_coco, Environment(scale="lite")),
        lambda: key(vgg16_coco, Environment(scale="lite", splits="a:b")),
        lambda: key(vgg16_coco, postprocess=PostprocessConfig(sigma_t=0.01)),
        lambda: key(vgg16_coco, rounds=2),
        lambda: key(replace(vgg16_coco, start="vgg16_coco_kl")),
    ],
)
def test_what_changes_numbers_changes_the_key(changed):
    assert changed() != key(vgg16_coco)


def test_the_networks_that_a_run_needs_count(monkeypatch):
    before = [key(run) for run in (r50_fpn_2x_again, r50_fpn_fast_2x, vgg16_coco)]
    known = dict(places.runs_of("kl_loss"))
    for name in ("r50_fpn_2x", "r50_fpn_rpn"):
        rpn = replace(known[name].model.rpn, positive_iou=0.6)
        known[name] = replace(known[name], model=replace(known[name].model, rpn=rpn))
    monkeypatch.setattr(recipe_key, "runs_of", lambda paper: known)
    after = [key(run) for run in (r50_fpn_2x_again, r50_fpn_fast_2x, vgg16_coco)]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, False, True]


def test_fields_with_their_defaults_are_left_out():
    assert chosen(PostprocessConfig()) == {}
    assert chosen(PostprocessConfig(sigma_t=0.5)) == {"sigma_t": 0.5}
    assert "passes" in chosen(r50_fpn_2x)
    assert "printed_optimizer" not in chosen(r50_fpn_2x)
