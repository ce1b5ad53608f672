"""One update: what it may change, what it is a function of, and when it refuses."""

import copy
import math
from dataclasses import replace
from itertools import islice

import pytest
import torch

from data.build import build_dataset
from data.loader import train_batches
from models.backbones.base import freeze_norms
from models.build import build_detector
from scripts.engine.command import EnvironmentFault
from scripts.engine.memory import OutOfMemoryFault
from scripts.engine.update.loss_scaler import MOST_SKIPPED, LossScaler
from scripts.engine.update.optimizer import build_optimizer
from scripts.engine.update.update import STATISTICS_EVERY, DivergedError, update, weighted_sum
from tests.networks import change
from tests.tiny import TINY, TINY_KL, TINY_KLRPN, tiny_dataset


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    """Two batches of two images."""
    dataset = build_dataset(
        TINY.data, tiny_dataset(tmp_path_factory.mktemp("data")), TINY.data.train
    )
    return list(
        islice(train_batches(dataset, TINY.data, batch_size=2, seed=0, start=0, workers=0), 2)
    )


def ready(run=TINY_KL, **model):
    torch.manual_seed(0)
    run = replace(run, model=change(run.model, **model))
    detector = build_detector(run.model).train()
    return (
        detector,
        build_optimizer(detector, run.train),
        LossScaler("cpu", enabled=False),
    )


def singles(batch):
    """The batch as micro-batches of one image."""
    return batch.split(len(batch.images))


@pytest.mark.parametrize("run", [TINY_KL, TINY_KLRPN], ids=["dropout", "kl_rpn"])
def test_accumulating_two_of_one_is_a_batch_of_two(batches, run):
    """Each image draws its own anchors, RoIs and dropout, in whatever company it is."""
    weights, terms = [], []
    for micro_batches in ([batches[0]], singles(batches[0])):
        detector, optimizer, scaler = ready(run)
        freeze_norms(detector)
        terms.append(update(detector, optimizer, scaler, micro_batches, step=0)[0])
        weights.append(detector.state_dict())
    assert terms[0] == pytest.approx(terms[1], rel=1e-5)
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-5, rtol=1e-5)


def test_an_update_draws_from_the_seeds_of_its_images(batches):
    found = []
    seeds = batches[0].draw_seeds
    for own_seeds in (seeds, seeds, seeds[::-1], ()):
        detector, optimizer, scaler = ready()
        torch.rand(len(found))  # what was drawn before does not matter
        batch = replace(batches[0], draw_seeds=own_seeds)
        found.append(update(detector, optimizer, scaler, [batch], step=0)[0])
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[0] != found[3]


def test_the_gradient_norm_is_limited(batches):
    detector, optimizer, scaler = ready()
    for group in optimizer.param_groups:
        group |= {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    before = torch.cat([p.detach().flatten().clone() for p in detector.parameters()])
    _, statistics = update(detector, optimizer, scaler, [batches[0]], step=0, max_norm=0.01)
    moved = torch.cat([p.detach().flatten() for p in detector.parameters()]) - before
    assert statistics["gradient_norm"] > 0.01  # what is reported is the norm before
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-2)


def test_statistics_come_now_and_then(batches):
    detector, optimizer, scaler = ready()
    terms, statistics = update(detector, optimizer, scaler, [batches[0]], step=STATISTICS_EVERY)
    assert terms.keys() == {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}
    assert {"gradient_norm", "foreground_share", "log_variance_p50"} <= statistics.keys()
    assert not update(detector, optimizer, scaler, [batches[0]], step=STATISTICS_EVERY + 1)[1]


@pytest.mark.fault("R55")
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_loss_that_is_not_finite_names_the_images_and_changes_nothing(batches, micro_batches):
    detector, optimizer, scaler = ready()
    update(detector, optimizer, scaler, [batches[0]], step=0)  # so that there is momentum
    before = copy.deepcopy((detector.state_dict(), optimizer.state_dict()["state"]))
    images = batches[1].images.clone()
    images[1, 0, 5, 5] = float("nan")
    bad = replace(batches[1], images=images)
    with pytest.raises(DivergedError) as caught:
        update(
            detector,
            optimizer,
            scaler,
            [bad] if micro_batches == 1 else singles(bad),
            step=7,
        )
    sentence = str(caught.value)
    assert sentence.startswith("At update 7 rpn_objectness and rpn_box")
    assert all(str(image) in sentence for image in bad.image_ids)
    assert "the weights were not changed" in sentence
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[0][name])
    for index, slots in optimizer.state_dict()["state"].items():
        assert torch.equal(slots["momentum_buffer"], before[1][index]["momentum_buffer"])


@pytest.mark.fault("R59")
def test_an_exploded_log_variance_is_named(batches):
    """exp(-alpha) of a foreground RoI overflows: only the box term of the second stage is at
    fault.
    """
    detector, optimizer, scaler = ready()
    with torch.no_grad():
        detector.roi.head.predictor.log_variance.bias.fill_(-120.0)
        detector.roi.head.predictor.offsets.bias.fill_(3.0)
    with pytest.raises(
        DivergedError, match=r"At update 0 roi_box and gradient norm of images .*log_variance_limit"
    ):
        update(detector, optimizer, scaler, [batches[0]], step=0)


@pytest.mark.parametrize("pooling", ["align", "max"])
@pytest.mark.parametrize("amp", [torch.bfloat16, torch.float16])
def test_mixed_precision_gives_about_the_same_losses_and_float32_boxes(batches, pooling, amp):
    """Half precision keeps 8 or 11 bits; losses, offsets and boxes are computed in float32 from
    there.
    """
    detector, optimizer, scaler = ready(roi_pooling=pooling, roi_dropout=0.0)
    exact, _ = update(copy.deepcopy(detector), optimizer, scaler, [batches[0]], step=0)
    scaler = LossScaler("cpu", enabled=amp is torch.float16)
    mixed, _ = update(
        detector,
        build_optimizer(detector, TINY_KL.train),
        scaler,
        [batches[0]],
        step=0,
        amp=amp,
    )
    # proposals may be sampled differently: the classification of RoIs is the coarsest of the four
    assert mixed == pytest.approx(exact, rel=0.25, abs=0.02)
    assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in detector.parameters())
    with torch.autocast("cpu", dtype=amp):
        found = detector.eval().candidates(replace(batches[0], targets=None), 0.0)
    assert (
        {image.boxes.dtype for image in found}
        == {image.variances.dtype for image in found}
        == {torch.float32}
    )


@pytest.mark.parametrize("pooling", ["align", "average"])
@pytest.mark.parametrize("amp", [torch.bfloat16, torch.float16])
def test_mixed_precision_of_kl_rpn_and_rfcn(batches, pooling, amp):
    """exp() of the log variances and the pooling sums are float32 inside. At the start all
    objectness is nearly equal, so half precision ranks, and then samples, other RoIs: only the
    first stage's loss can be compared."""
    detector, optimizer, scaler = ready(TINY_KLRPN, backbone_name="vgg16", roi_rfcn_pooling=pooling)
    exact, _ = update(copy.deepcopy(detector), optimizer, scaler, [batches[0]], step=0)
    scaler = LossScaler("cpu", enabled=amp is torch.float16)
    mixed, _ = update(
        detector,
        build_optimizer(detector, TINY_KLRPN.train),
        scaler,
        [batches[0]],
        step=0,
        amp=amp,
    )
    assert mixed["rpn_kl"] == pytest.approx(exact["rpn_kl"], rel=0.02)
    assert all(math.isfinite(loss) for loss in mixed.values())
    assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in detector.parameters())
    with torch.autocast("cpu", dtype=amp):
        found = detector.eval().candidates(replace(batches[0], targets=None), 0.0)
    assert {image.boxes.dtype for image in found} == {torch.float32}


def test_an_exploded_kl_rpn_names_its_own_limit(batches):
    detector, optimizer, scaler = ready(TINY_KLRPN, rpn_log_variance_limit=None)
    with torch.no_grad():
        detector.rpn.head.log_variance.bias.fill_(-120.0)
    with pytest.raises(
        DivergedError,
        match=r"At update 0 rpn_kl and gradient norm .*set RPNConfig\.log_variance_limit",
    ):
        update(detector, optimizer, scaler, [batches[0]], step=0)


class Terms(torch.nn.Module):
    """A detector whose losses are the numbers it was given, each with its own weight."""

    def __init__(self, **terms):
        super().__init__()
        self.weights = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(torch.tensor(value)) for name, value in terms.items()}
        )

    def forward(self, batch, statistics=None):
        return dict(self.weights.items())


@pytest.mark.parametrize(("weight", "total"), [(10.0, 10.88), (1.0, 0.98)])
def test_the_second_stage_is_weighted(weight, total, batches):
    """KL-RPN Eq. 9: L_KL + 10 (L_cls + L_reg) at -0.12, 0.8 and 0.3 is 10.88."""
    detector = Terms(rpn_kl=-0.12, roi_class=0.8, roi_box=0.3)
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.0)
    terms, _ = update(
        detector,
        optimizer,
        LossScaler("cpu", enabled=False),
        [batches[0]],
        step=0,
        roi_loss_weight=weight,
    )
    assert terms == pytest.approx({"rpn_kl": -0.12, "roi_class": 0.8, "roi_box": 0.3})
    assert weighted_sum(terms, weight) == pytest.approx(total, abs=1e-6)
    assert {name: p.grad.item() for name, p in detector.weights.items()} == {
        "rpn_kl": 1.0,
        "roi_class": weight,
        "roi_box": weight,
    }


EXPLODING = 1e36  # of the second stage: its gradient is infinite once it is scaled by 65536


def made(detector, scaler, batches, step=1, roi_loss_weight=1.0):
    """One update by plain gradient descent with rate 0.5; the weights after it, and statistics."""
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.5)
    statistics = update(
        detector,
        optimizer,
        scaler,
        batches[:1],
        step=step,
        roi_loss_weight=roi_loss_weight,
    )[1]
    return {name: p.item() for name, p in detector.weights.items()}, statistics


@pytest.mark.fault("R57")
def test_skipped_updates_are_counted_and_change_no_weight(batches):
    detector, scaler = Terms(rpn_kl=1.0, roi_box=2.0), LossScaler("cpu", enabled=True)
    for count in (1, 2):
        weights, _ = made(detector, scaler, batches, roi_loss_weight=EXPLODING)
        assert weights == {"rpn_kl": 1.0, "roi_box": 2.0}
        assert (scaler.skipped, scaler.in_a_row) == (count, count)
    assert scaler.get_scale() == 65536 / 4
    weights, statistics = made(detector, scaler, batches, step=STATISTICS_EVERY)
    assert weights == {"rpn_kl": 0.5, "roi_box": 1.5}
    assert statistics["amp/skipped_updates"] == 2.0
    assert (scaler.skipped, scaler.in_a_row) == (2, 0)


def test_a_norm_that_overflows_makes_no_step(batches):
    """Each gradient is finite in float32, but the sum of their squares is not."""
    detector, scaler = Terms(rpn_kl=1.0, roi_box=1.0), LossScaler("cpu", enabled=True)
    weights, _ = made(detector, scaler, batches, roi_loss_weight=1e25)
    assert weights == {"rpn_kl": 1.0, "roi_box": 1.0}
    assert scaler.skipped == 1


@pytest.mark.fault("R57")
def test_many_skipped_updates_in_a_row_are_a_divergence(batches):
    detector, scaler = Terms(roi_box=2.0), LossScaler("cpu", enabled=True)
    for step in range(MOST_SKIPPED - 1):
        made(detector, scaler, batches, step=step, roi_loss_weight=math.inf)
    with pytest.raises(DivergedError, match=r"Update 19 is the 20th in a row .*float16 .*bf16"):
        made(detector, scaler, batches, step=MOST_SKIPPED - 1, roi_loss_weight=math.inf)


def test_counts_of_skipped_updates_are_saved_with_the_scale(batches):
    detector, scaler = Terms(roi_box=2.0), LossScaler("cpu", enabled=True)
    made(detector, scaler, batches, roi_loss_weight=EXPLODING)
    other = LossScaler("cpu", enabled=True)
    other.load_state_dict(scaler.state_dict())
    assert (other.skipped, other.in_a_row, other.get_scale()) == (1, 1, 32768.0)
    other.load_state_dict(torch.amp.GradScaler("cpu").state_dict())  # of an older checkpoint
    assert (other.skipped, other.in_a_row) == (0, 0)
    assert LossScaler("cpu", enabled=False).state_dict() == {}


class Hungry(Terms):
    """A detector without memory for more than ``most`` images at a time."""

    def __init__(self, most, error):
        super().__init__(roi_box=2.0)
        self.most, self.error = most, error

    def forward(self, batch, statistics=None):
        if len(batch.images) > self.most:
            raise self.error
        return super().forward(batch, statistics)


def test_an_update_without_memory_is_one_sentence_and_changes_nothing(batches):
    detector = Hungry(1, torch.OutOfMemoryError("Tried to allocate 20.00 GiB"))
    height, width = batches[0].padded_size
    sentence = (
        rf"^Update 7 does not fit into the memory of cpu with 2 images at a time, padded to "
        rf"{height} x {width} px\. Train with --accumulate 2 .*--amp bf16 .*--batch-size"
    )
    with pytest.raises(OutOfMemoryFault, match=sentence):
        made(detector, LossScaler("cpu", enabled=False), batches, step=7)
    assert detector.weights["roi_box"].item() == 2.0


def test_a_step_without_memory_cannot_be_made_again(batches):
    """Some weights may have changed already."""
    detector = Terms(roi_box=2.0)
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.5)
    optimizer.register_step_pre_hook(raise_full)
    scaler = LossScaler("cpu", enabled=False)
    with pytest.raises(EnvironmentFault) as caught:
        update(detector, optimizer, scaler, batches[:1], step=0)
    assert not isinstance(caught.value, OutOfMemoryFault)


def raise_full(*_):
    raise torch.OutOfMemoryError("full")


def test_another_error_stays_what_it_is(batches):
    with pytest.raises(RuntimeError, match=r"^sizes do not match$"):
        made(
            Hungry(0, RuntimeError("sizes do not match")), LossScaler("cpu", enabled=False), batches
        )
