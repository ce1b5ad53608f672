"""The declarations: every run can be built at every scale, a comparison changes what it compares,
rows are the paper's.
"""

import importlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from experiments.records import Row, Run, Table, TrainConfig, epoch_schedule
from experiments.scales import SCALES, TITLES, at_scale, scale_and_length, scale_title
from models.build import build_detector, parameter_counts
from scripts.engine.run_folder.checkpoint import differences, plain
from scripts.engine.update.optimizer import learning_rate

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
MODULES = {
    path.parent.name: importlib.import_module(f"experiments.{path.parent.name}.runs")
    for path in sorted(EXPERIMENTS.glob("*/runs.py"))
}
RUNS = {
    f"{paper}/{key}": value
    for paper, module in MODULES.items()
    for key, value in vars(module).items()
    if isinstance(value, Run)
}
PAPER_TABLES = json.loads((EXPERIMENTS / "paper_tables.json").read_text())
TABLES = {
    f"{path.parent.parent.name}/{path.parent.name}": importlib.import_module(
        f"experiments.{path.parent.parent.name}.{path.parent.name}.rows"
    ).TABLE
    for path in sorted(EXPERIMENTS.glob("*/*/rows.py"))
}
PAIRS = [
    (name, f"{name}_kl") for name in RUNS if f"{name}_kl" in RUNS and not name.endswith("_klrpn")
]
RPN_PAIRS = [(name, f"{name}_klrpn") for name in RUNS if f"{name}_klrpn" in RUNS]
PRINTED = {
    name: PAPER_TABLES[name.replace("/", "_")]
    for name in TABLES
    if name.replace("/", "_") in PAPER_TABLES
}
OURS = TABLES.keys() - PRINTED.keys()  # not tables of a paper
# what KL Loss changes in a second stage
KL_HEAD = {"model.roi.box_coding", "model.roi.log_variance", "model.roi.box_loss"}
KL = KL_HEAD | {"model.rpn.box_coding"}  # and in the whole network
at_every_scale = pytest.mark.parametrize("scale", SCALES)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_called_what_it_is_called(name):
    assert RUNS[name].name == name.partition("/")[2]


@at_every_scale
@pytest.mark.parametrize("name", RUNS)
def test_a_run_can_be_built(scale, name):
    run = at_scale(RUNS[name], scale)
    with torch.device("meta"):
        total, _ = parameter_counts(build_detector(run.model))
    assert total < {"mini": 4e6, "lite": 3e7, "lite600": 3e7, "paper": 3e8}[scale]  # parameters
    assert replace(run) == run
    assert all(drop < run.train.iterations for drop in run.train.lr_drops)
    assert len(plain(asdict(run))) == 10


@at_every_scale
@pytest.mark.parametrize(("baseline", "kl"), PAIRS)
def test_a_kl_run_differs_from_its_baseline_in_nothing_else(scale, baseline, kl):
    changed = differences(*(plain(asdict(at_scale(RUNS[name], scale))) for name in (baseline, kl)))
    coding = {"model.rpn.box_coding"} if RUNS[baseline].model.rpn.kind != "kl_rpn" else set()
    assert {line.partition(":")[0] for line in changed} == {"name"} | KL_HEAD | coding
    assert "model.roi.box_coding: center_size -> edges" in changed
    assert "model.roi.box_loss: smooth_l1 -> kl" in changed


@at_every_scale
@pytest.mark.parametrize(("baseline", "kl_rpn"), RPN_PAIRS)
def test_a_kl_rpn_run_differs_from_its_baseline_in_the_region_proposal_and_eq_9(
    scale, baseline, kl_rpn
):
    """At paper scale the paper changes optimizer, rate and clipping as well; at the others only the
    loss weight is the method's (Eq. 9), and with it the unit of the gradient norm."""
    changed = differences(
        *(plain(asdict(at_scale(RUNS[name], scale))) for name in (baseline, kl_rpn))
    )
    fields = {line.partition(":")[0] for line in changed}
    assert fields >= {"name", "model.rpn.kind", "train.roi_loss_weight"}
    allowed = {"train.max_grad_norm"} | (
        {"train.optimizer", "train.lr"} if scale == "paper" else set()
    )
    assert fields - {"name", "model.rpn.kind", "train.roi_loss_weight"} <= allowed
    run = at_scale(RUNS[kl_rpn], scale)
    assert run.train.roi_loss_weight == 10
    if scale != "paper":
        assert run.train.max_grad_norm == 10 * at_scale(RUNS[baseline], scale).train.max_grad_norm


@pytest.mark.parametrize("name", ["kl_rpn/table1", "kl_rpn/table2"])
def test_batch_and_rate_are_those_the_paper_prints(name):
    rows = [row for row in TABLES[name].rows if not row.added]
    for row, line in zip(rows, PRINTED[name]["rows"], strict=True):
        assert (row.run.train.batch_size, row.run.train.lr) == (line["batch_size"], line["lr"])
        assert row.run.train.optimizer == ("adam" if row.label == "KL-RPN" else "sgd")
        assert (
            row.run.model.backbone.name
            == {"VGG-16": "vgg16", "ResNet-101": "resnet101"}[line["backbone"]]
        )
        assert (
            row.run.data.train
            == {
                "trainval35k": ("trainval35k",),
                "trainval": ("trainval",),
                "07": ("2007_trainval",),
                "07+12": ("2007_trainval", "2012_trainval"),
            }[line["train"]]
        )
        assert row.run.data.short_side == 600
        assert (
            row.run.model.rpn.post_nms_test == {"kl_rpn/table1": 1000, "kl_rpn/table2": 300}[name]
        )


# rois an image, anchors' scales, decay, factor of the biases, clipping of the baseline, updates,
# drops, training scales
RECIPES = {
    "vgg16_coco": (256, 4, 5e-4, 2.0, 10.0, 146_580, (58_632, 131_922), None),
    "r101_coco": (128, 4, 1e-4, 1.0, None, 146_580, (58_632, 131_922), None),
    "rfcn_r101_coco": (128, 4, 5e-4, 2.0, None, 120_000, (90_000,), (400, 500, 600, 700, 800)),
    "vgg16_voc": (256, 3, 5e-4, 2.0, 10.0, 198_612, (165_510,), None),
    "r101_voc": (128, 3, 1e-4, 1.0, None, 231_714, (165_510,), None),
    "rfcn_r101_voc": (
        128,
        3,
        1e-4,
        1.0,
        None,
        100_220,
        (40_088, 85_187),
        (400, 500, 600, 700, 800),
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_the_kl_rpn_baselines(name):
    """faster-rcnn.pytorch's and RFCN_CoupleNet.pytorch's; R-FCN on COCO is the R-FCN paper's.
    117,266 COCO and 16,551 or 5,011 VOC images, each also mirrored.
    """
    rois, scales, decay, biases, clip, updates, drops, sides = RECIPES[name]
    for run in (RUNS[f"kl_rpn/{name}"], RUNS[f"kl_rpn/{name}_klrpn"]):
        model, train, data = run.model, run.train, run.data
        rpn, roi = model.rpn, model.roi
        assert (roi.rois_per_image, len(rpn.anchor_sizes), rpn.min_size) == (rois, scales, 0.0)
        assert (rpn.anchors_per_image, rpn.positive_share, model.backbone.frozen_stages) == (
            256,
            0.5,
            2,
        )
        assert (rpn.pre_nms_train, rpn.post_nms_train, rpn.pre_nms_test) == (12000, 2000, 6000)
        assert (roi.pooling, roi.rfcn_pooling, roi.pool_size) == ("align", "align", 7)
        assert (train.weight_decay, train.bias_lr_factor, train.bias_decay) == (
            decay,
            biases,
            False,
        )
        assert (train.iterations, train.lr_drops, train.warmup_iterations) == (updates, drops, 0)
        assert (data.long_side, data.train_long_side, data.train_short_sides) == (None, 1200, sides)
        assert data.train_difficult == (data.layout == "voc")
        assert not data.train_crowd
        assert train.max_grad_norm == (clip if rpn.kind == "rpn" else None)
        assert roi.dropout == (0.5 if model.backbone.name == "vgg16" else 0.0)


def test_both_papers_in_one_detector():
    both = RUNS["kl_rpn/vgg16_coco_klrpn_kl"].model
    assert (both.rpn.kind, both.roi.log_variance, both.roi.box_coding, both.roi.box_loss) == (
        "kl_rpn",
        True,
        "edges",
        "kl",
    )
    without = replace(both.roi, log_variance=False, box_coding="center_size", box_loss="smooth_l1")
    assert replace(both, roi=without) == RUNS["kl_rpn/vgg16_coco_klrpn"].model


# lr of each epoch, from 1, in the baseline's README rows
@pytest.mark.parametrize(
    ("lr", "step", "epochs", "rates"),
    [
        (1e-3, 5, 7, [1e-3] * 5 + [1e-4] * 2),
        (1e-2, 4, 6, [1e-2] * 4 + [1e-3] * 2),
        (1e-2, 4, 10, [1e-2] * 4 + [1e-3] * 5 + [1e-4]),
        (4e-3, 8, 20, [4e-3] * 8 + [4e-4] * 9 + [4e-5] * 3),
        (6e-5, 4, 10, [6e-5] * 4 + [6e-6] * 5 + [6e-7]),
    ],
)
def test_rate_of_each_epoch(lr, step, epochs, rates):
    each = 2 * 100 // 4
    train = TrainConfig(
        lr=lr, **epoch_schedule(images=100, batch_size=4, epochs=epochs, drop_every=step)
    )
    assert train.iterations == epochs * each
    for epoch, rate in enumerate(rates):
        for update in (epoch * each, (epoch + 1) * each - 1):
            assert learning_rate(update, train) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("images", "batch", "updates"),
    [(5011, 1, 10022), (5011, 2, 5011), (16551, 1, 33102), (117266, 16, 14658), (117266, 24, 9772)],
)
def test_updates_of_an_epoch_count_each_image_and_its_mirror(images, batch, updates):
    assert (
        epoch_schedule(images=images, batch_size=batch, epochs=1, drop_every=1)["iterations"]
        == updates
    )


@pytest.mark.parametrize("scale", ["lite", "lite600"])
def test_lite_runs_with_one_name_are_one_run(scale):
    """Tables that end up with the same network share it: its name must not hide a difference."""
    runs = {}
    for run in (SCALES[scale](run) for run in RUNS.values()):
        assert runs.setdefault(run.name, run) == run


def test_scales():
    assert SCALES.keys() == TITLES.keys() == {"mini", "lite", "lite600", "paper"}
    assert all("not comparable" in TITLES[scale] for scale in ("mini", "lite", "lite600"))
    assert all(SCALES["paper"](run) == run for run in RUNS.values())


@pytest.mark.parametrize("name", RUNS)
def test_lite600_is_lite_with_twice_the_pixels(name):
    """Sides and what is measured in network pixels double; anchors become four times as many."""
    lite, large = SCALES["lite"](RUNS[name]), SCALES["lite600"](RUNS[name])
    data, rpn, roi = lite.data, lite.model.rpn, lite.model.roi
    assert (large.data.short_side, large.data.long_side) == (600, 1000)
    assert large.model.rpn.anchor_sizes == tuple(2 * size for size in rpn.anchor_sizes)
    assert large.model.rpn.anchors_per_image == RUNS[name].model.rpn.anchors_per_image
    assert large.model.roi.canonical_size == 2 * roi.canonical_size
    if data.train_short_sides:
        sides = large.data.train_short_sides
        assert sides == tuple(2 * side for side in data.train_short_sides)
        assert max(sides) <= max(RUNS[name].data.train_short_sides)
    changed = differences(plain(asdict(lite)), plain(asdict(large)))
    assert {line.partition(":")[0] for line in changed} <= {
        "data.short_side",
        "data.long_side",
        "data.train_short_sides",
        "model.rpn.anchor_sizes",
        "model.rpn.anchors_per_image",
        "model.rpn.pre_nms_train",
        "model.rpn.pre_nms_test",
        "model.roi.canonical_size",
    }


def test_a_length_multiplies_updates_and_drops_and_nothing_else():
    run = RUNS["kl_rpn/vgg16_coco"]
    short, long = at_scale(run, "mini"), at_scale(run, "mini-16x")
    assert (long.train.iterations, long.train.lr_drops) == (16 * 650, (16 * 500,))
    assert long.train.warmup_iterations == short.train.warmup_iterations == 50
    same = replace(long.train, iterations=650, lr_drops=(500,))
    assert replace(long, train=same) == short
    assert scale_title("mini-16x") == f"{scale_title('mini')}; 16x updates"


def test_a_twice_as_long_run_of_a_longer_scale_is_longer_by_both():
    run = RUNS["kl_loss/r50_fpn_2x"]
    assert at_scale(run, "mini-4x").train.iterations == 4 * 2 * 500


@pytest.mark.parametrize("name", ["mini-1x", "mini-0x", "mini-04x", "mini-x", "tiny-2x", "4x", ""])
def test_an_unknown_scale_or_length_is_refused_with_an_example(name):
    with pytest.raises(
        ValueError, match="choose one of mini, lite, lite600, paper, or name a longer one"
    ):
        scale_and_length(name)


def test_the_small_scales_sample_as_many_anchors_as_keep_the_papers_share_of_positives():
    """5.1 positive anchors an image at mini and 9.7 at lite are a fifth and 15 % of these."""
    for scale, anchors in (("mini", 26), ("lite", 64), ("lite600", 256), ("paper", 256)):
        for run in RUNS.values():
            times = run.model.rpn.anchors_per_image / 256
            assert at_scale(run, scale).model.rpn.anchors_per_image == round(anchors * times)


def test_a_run_with_its_printed_optimizer_keeps_it_at_a_small_scale():
    run = at_scale(RUNS["kl_rpn/rpn_sgd"], "mini").train
    assert (run.optimizer, run.lr, run.weight_decay, run.max_grad_norm) == ("sgd", 1e-2, 5e-4, 10.0)
    run = at_scale(RUNS["kl_rpn/klrpn_adam"], "mini").train
    assert (run.optimizer, run.lr, run.weight_decay, run.max_grad_norm) == (
        "adam",
        6e-5,
        5e-4,
        None,
    )
    assert (run.iterations, run.batch_size) == (650, 4)


def spelled(label):
    """One spelling of a row's name: without citation marks, one space at each side of a plus."""
    return re.sub(r"\s*\+\s*", " + ", re.sub(r"\s*(\[\d+\]|\(footnote.*\))", "", label))


def test_every_table_is_a_papers_or_known_as_ours():
    assert {name.replace("/", "_") for name in PRINTED} >= {
        name for name in PAPER_TABLES if "_table" in name
    }
    assert not any(row.printed for name in OURS for row in TABLES[name].rows)


def printed_name(line):
    """(group, label) of a printed row: the tables of KL-RPN compare region proposals within each
    detector.
    """
    if "region_proposal" in line:
        return f"{line['method']} {line['backbone']}", spelled(line["region_proposal"])
    if "head" in line:  # KL Loss Table 3 has no other names for its rows
        return line["head"], "KL Loss" if line["kl_loss"] else "baseline"
    return line.get("type", line.get("backbone", "")), spelled(
        line.get("label") or line.get("method")
    )


def is_cited(line):
    """The paper took the number from another paper or from Detectron's model zoo."""
    return any(word in line.get("baseline_ref", "") for word in ("cited", "MODEL_ZOO"))


@pytest.mark.parametrize("name", PRINTED)
def test_rows_are_those_of_the_paper_in_its_order(name):
    printed, rows = PRINTED[name]["rows"], [row for row in TABLES[name].rows if not row.added]
    assert [(row.group, row.label) for row in rows] == [printed_name(line) for line in printed]
    columns = PRINTED[name]["columns"]
    assert [row.printed for row in rows] == [
        tuple(line["metrics"].get(column) for column in columns) for line in printed
    ]
    assert [bool(row.cited) for row in rows] == [is_cited(line) for line in printed]
    assert list(TABLES[name].columns) == columns
    assert not any(row.printed for row in TABLES[name].rows if row.added)
    assert len({(row.group, row.label) for row in TABLES[name].rows}) == len(TABLES[name].rows)


@pytest.mark.parametrize("name", TABLES)
def test_rows_use_known_runs_and_say_what_their_labels_say(name):
    table, paper = TABLES[name], name.partition("/")[0]
    assert table.title
    known = {id(run) for key, run in RUNS.items() if key.startswith(paper + "/")}
    for row in table.rows:
        assert id(row.run) in known
        if paper == "kl_rpn":
            assert ("KL-RPN" in row.label) == (row.run.model.rpn.kind == "kl_rpn")
            assert ("R-FCN" in row.group) == (row.run.model.roi.head == "rfcn")
        if table.metric != "latency" and not row.missing and "figure" not in name:
            assert ("KL Loss" in row.label) == row.run.model.roi.log_variance
            assert ("soft-NMS" in row.label) == (row.postprocess.suppression == "soft_gaussian")
            assert ("var voting" in row.label) == (row.postprocess.sigma_t > 0)
            assert ("IoU-NMS" in row.label) == (row.postprocess.suppression == "iou_guided")
            assert ("Refine" in row.label) == (row.refine is not None)
            assert ("MR-CNN" in row.label) == (row.postprocess.box_voting is not None)
            assert ("iterative" in row.label) == (row.rounds == 2)
            assert row.run.model.iou or "IoU-N" not in row.label
            assert ("QUBO (tabu)" in row.label) == (row.postprocess.suppression == "qubo_tabu")
            assert ("QUBO (greedy)" in row.label) == (row.postprocess.suppression == "qubo_greedy")
    labels = {row.label for row in table.rows}
    assert {label for pair in table.comparisons for label in pair} <= labels


def test_an_unknown_metric_or_command_is_an_error():
    """A typo in the metric must not be scored as VOC."""
    table = TABLES["kl_loss/table1"]
    with pytest.raises(
        ValueError, match=r"Table\.metric is 'cocoo'; choose one of \('coco', 'voc'"
    ):
        replace(table, metric="cocoo")
    with pytest.raises(ValueError, match=r"Table\.command is 'score'; choose one of \('evaluate'"):
        replace(table, command="score")


def test_a_row_prints_one_number_a_column():
    row = Row(
        "new", RUNS["kl_loss/vgg16_coco"], TABLES["kl_loss/table1"].rows[0].postprocess, (1.0,)
    )
    with pytest.raises(ValueError, match="the row 'new' prints 1 numbers, the table has 2 columns"):
        Table(title="t", metric="coco", columns=("AP", "AP50"), rows=(row,))


def test_rows_have_names_of_their_own_and_comparisons_name_rows():
    """Results are kept by name: two rows of one name would show one row's numbers twice."""
    table = TABLES["kl_loss/table1"]
    with pytest.raises(ValueError, match="two rows are called 'baseline'; give each its own label"):
        replace(table, rows=(table.rows[0], table.rows[0]), comparisons=())
    with pytest.raises(ValueError, match="a comparison names 'KL-Loss', and no row has that label"):
        replace(table, comparisons=(("KL-Loss", "baseline"),))


def test_the_papers_headline_is_in_table_1():
    """KL Loss, abstract: VGG-16 Faster R-CNN from 23.6 to 29.1 AP on MS-COCO."""
    rows = TABLES["kl_loss/table1"].rows
    assert (rows[0].printed[0], rows[-1].printed[0]) == (23.6, 29.1)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_two_commands(name):
    paper, _, table = name.partition("/")
    for script in ("train.sh", "eval.sh"):
        path = EXPERIMENTS / paper / table / script
        assert path.stat().st_mode & 0o111, f"{path} is not executable"


# iterations, drops, rate, batch of Detectron's schedules; proposals before and after suppression in
# training and testing
SCHEDULES = {
    "r50_fpn_1x": (90_000, (60_000, 80_000), 0.02, 16, (2000, 2000, 1000, 1000)),
    "r50_fpn_2x": (180_000, (120_000, 160_000), 0.02, 16, (2000, 2000, 1000, 1000)),
    "r50_fpn_kl": (180_000, (120_000, 160_000), 0.02, 16, (2000, 2000, 1000, 1000)),
    "r50_fpn_mask": (180_000, (120_000, 160_000), 0.02, 16, (2000, 2000, 1000, 1000)),
    "r50_fpn_fast_1x": (90_000, (60_000, 80_000), 0.02, 16, (2000, 2000, 1000, 1000)),
    "r50_c4": (360_000, (240_000, 320_000), 0.01, 8, (12000, 2000, 6000, 1000)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_recipes_of_detectron(name):
    """Its 12_2017_baselines, R-50: short side 800, long side 1333, warm-up of 500 updates from a
    third of the rate, decay of weights alone, biases twice as fast, conv1 and res2 frozen, 512 RoIs
    an image, no least size of a proposal."""
    run = RUNS[f"kl_loss/{name}"]
    updates, drops, rate, batch, counts = SCHEDULES[name]
    model, rpn, roi, train = run.model, run.model.rpn, run.model.roi, run.train
    assert (train.iterations, train.lr_drops, train.lr, train.batch_size) == (
        updates,
        drops,
        rate,
        batch,
    )
    assert (rpn.pre_nms_train, rpn.post_nms_train, rpn.pre_nms_test, rpn.post_nms_test) == counts
    assert (train.weight_decay, train.bias_lr_factor, train.bias_decay, train.momentum) == (
        1e-4,
        2.0,
        False,
        0.9,
    )
    assert (train.warmup_iterations, train.warmup_factor, train.max_grad_norm) == (500, 1 / 3, None)
    assert (roi.rois_per_image, roi.positive_share, rpn.min_size, model.backbone.frozen_stages) == (
        512,
        0.25,
        0.0,
        2,
    )
    assert rpn.anchor_sizes == (32, 64, 128, 256, 512)
    assert (run.data.short_side, run.data.long_side, run.data.size_divisor) == (800, 1333, 32)
    assert run.data.train == ("train2017",)
    assert (roi.pool_size, roi.sampling_ratio) == ((14, 0) if name == "r50_c4" else (7, 2))


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("r50_fpn_edges", {"model.rpn.box_coding", "model.roi.box_coding"}),
        ("r50_fpn_2x_again", {"start"}),
        ("r50_fpn_kl", KL),
        ("r50_fpn_kl_warm", KL | {"start"}),
        ("r50_fpn_mask", {"model.mask", "data.masks"}),
    ],
)
@pytest.mark.parametrize("scale", ["mini", "paper"])
def test_a_control_changes_one_thing(scale, name, changed):
    found = differences(
        *(plain(asdict(at_scale(RUNS[f"kl_loss/{n}"], scale))) for n in ("r50_fpn_2x", name))
    )
    assert {line.partition(":")[0] for line in found} == {"name"} | changed


@at_every_scale
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, run in RUNS.items()
        if run.start not in ("imagenet", "scratch") or run.proposals
    ],
)
def test_a_run_that_needs_another_names_one_that_fits(scale, name):
    """Of the same network, classes and data, so that weights and proposals can be taken over."""
    run, paper = at_scale(RUNS[name], scale), name.partition("/")[0]
    for needed in {run.start, run.proposals} - {"imagenet", "scratch", ""}:
        other = at_scale(RUNS[f"{paper}/{needed}"], scale)
        assert (other.model.backbone, other.model.num_classes) == (
            run.model.backbone,
            run.model.num_classes,
        )
        assert (other.data.train, other.data.test, other.data.layout) == (
            run.data.train,
            run.data.test,
            run.data.layout,
        )
    if run.train.trainable_part:
        assert run.start not in ("imagenet", "scratch")


@pytest.mark.parametrize("scale", ["mini", "lite", "lite600"])
def test_two_passes_are_twice_one(scale):
    once, twice = (at_scale(RUNS[f"kl_loss/r50_fpn_{n}x"], scale).train for n in (1, 2))
    assert twice.iterations == 2 * once.iterations
    assert twice.lr_drops == tuple(2 * drop for drop in once.lr_drops)
    assert replace(twice, iterations=once.iterations, lr_drops=once.lr_drops) == once
