"""ModelConfig names what is wrong; the networks have the sizes that the papers' layers add up
to."""

import pytest
import torch

from data.boxes import CenterSizeCoder, EdgeCoder
from models import build
from models.backbones.mobilenet import MobileNetV2
from models.backbones.resnet import Conv5Head
from models.backbones.vgg import VGG16, VGGCNNM1024
from models.build import build_detector, parameter_counts
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from models.rfcn import RFCNHead
from models.roi_losses import BoxLossChoice
from scripts.engine.evaluation.cost import truncated_millions
from tests.models.test_detector import BASE, batch_of, detector, losses_of, scene
from tests.networks import EDGES, KL, KL_HEAD, change, model_config

COCO = model_config(backbone_name="vgg16", num_classes=80)
VOC_M = model_config(
    backbone_name="vgg_cnn_m_1024",
    num_classes=20,
    rpn_anchor_sizes=(128.0, 256.0, 512.0),
    roi_fc_dims=(4096, 1024),
    roi_pool_size=6,
    rpn_channels=256,
)


FIVE_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
PYRAMID = {"backbone_name": "resnet50", "backbone_pyramid": True, "rpn_anchor_sizes": FIVE_SIZES}


def with_variance(config):
    return change(config, **KL)


def size(config):
    with torch.device("meta"):  # no memory, no initialization
        return parameter_counts(build_detector(config))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"backbone_name": "vgg19"},
            r"ModelConfig\.backbone\.name is 'vgg19'; choose one of .*'vgg16'",
        ),
        (
            {"roi_box_loss": "huber"},
            r"ModelConfig\.roi\.box_loss is 'huber'; choose one of \('smooth_l1', 'kl'",
        ),
        ({"num_classes": 0}, r"ModelConfig\.num_classes is 0; a detector needs at least one class"),
        (
            {"rpn_kind": "saved", "roi_head": "none"},
            r"rpn\.kind='saved' with roi\.head='none' leaves nothing to learn",
        ),
        ({"roi_head": "rfcn", "mask": MaskConfig()}, "mask and iou need a box head on each RoI"),
        ({"roi_head": "none", "iou": IoUConfig()}, "mask and iou need a box head on each RoI"),
        (
            {"roi_head": "conv5"},
            r"roi\.head='conv5' needs one of the backbones \('resnet50', .*, not 'vgg16'",
        ),
        (
            {"backbone_pyramid": True, "rpn_anchor_sizes": FIVE_SIZES},
            r"backbone\.pyramid needs one of the backbones \('resnet50'",
        ),
        (PYRAMID | {"rpn_anchor_sizes": (32.0,)}, r"and 5 rpn\.anchor_sizes, one a level"),
        (PYRAMID | {"roi_head": "conv5"}, r"roi\.head 'mlp' or 'none'"),
        (PYRAMID | {"roi_head": "rfcn"}, r"roi\.head 'mlp' or 'none'"),
        (PYRAMID | {"roi_pooling": "max"}, "pooling 'align' or 'precise'"),
    ],
)
def test_parts_that_do_not_fit_are_named(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        change(COCO, **changed)


def test_a_pyramid_fits_what_the_sentence_says():
    for pooling in ("align", "precise"):
        for name in ("resnet50", "resnet101", "mobilenet_v2"):
            assert change(
                COCO, **PYRAMID | {"backbone_name": name, "roi_pooling": pooling}
            ).fits_a_pyramid()
    assert change(COCO, **PYRAMID, roi_head="none").fits_a_pyramid()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"roi_box_loss": "kl"},
            r"roi\.log_variance is False, and the box loss 'kl' reads log variances",
        ),
        (
            {"roi_box_coding": "edges", "roi_log_variance": True},
            r"roi\.log_variance is True, and the box loss 'smooth_l1' has no use for log variances",
        ),
    ],
)
def test_a_box_loss_gets_the_log_variances_that_it_reads(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        change(BASE, **fields)


@pytest.mark.parametrize(
    "fields", [{"roi_head": "conv5"}, {"backbone_pyramid": True, "rpn_anchor_sizes": (8.0,) * 5}]
)
def test_a_new_backbone_has_no_conv5_and_no_pyramid_before_it_says_so(monkeypatch, fields):
    """It would fail in the first forward pass otherwise, in the layers of another network."""
    monkeypatch.setitem(build.BACKBONES, "mine", build.BACKBONES["vgg16"])
    with pytest.raises(ValueError, match=r"needs one of the backbones \('resnet50', 'resnet101'"):
        change(BASE, backbone_name="mine", **fields)


def absolute_error(offsets, log_variance, target_offsets):
    return (offsets - target_offsets).abs()


@pytest.mark.parametrize("log_variance", [False, True])
def test_a_new_box_loss_is_one_function_and_one_line(monkeypatch, log_variance):
    """A function in ``box_losses`` is a choice of RoIConfig.box_loss, and it is what the network
    learns from."""
    known = build.box_losses
    choice = BoxLossChoice(absolute_error, log_variance=log_variance)
    monkeypatch.setattr(build, "box_losses", lambda config: {**known(config), "l1": choice})
    fields = {"roi_box_coding": "edges", "roi_log_variance": True} if log_variance else {}
    network = detector(change(BASE, roi_box_loss="l1", **fields))
    assert network.roi.box_loss is absolute_error
    batch = batch_of(scene(0), scene(1))
    statistics = {}
    loss = losses_of(network, batch, statistics=statistics)["roi_box"]
    torch.manual_seed(0)
    features = network.features(batch)
    predictions = network.rpn(features, batch.padded_size)
    network.rpn.targets(predictions, batch)  # draws anchors
    boxes, _ = network.rpn.propose(predictions, batch, network.rpn.train_counts)
    targets = network.roi.sample(boxes, batch)
    _, offsets, _ = network.roi(features, targets.boxes)
    labels = targets.labels.flatten()
    rows = (labels > 0).nonzero()[:, 0]
    by_hand = (offsets[rows, labels[rows]] - targets.target_offsets.flatten(0, 1)[rows]).abs()
    torch.testing.assert_close(loss, by_hand.sum() / (targets.labels >= 0).sum())
    loss.backward()
    assert network.roi.head.predictor.offsets.weight.grad.any()
    assert "kl_data_term" not in statistics  # the terms of another loss


def test_vgg16_on_coco_has_the_parameters_of_its_layers():
    convolutions = 14_714_688  # VGG-16, conv1_1 .. conv5_3
    rpn = (
        512 * 512 * 9 + 512 + 512 * 12 * 2 + 12 * 2 + 512 * 12 * 4 + 12 * 4
    )  # 12 anchors, two-way softmax
    head = 512 * 49 * 4096 + 4096 + 4096 * 4096 + 4096
    last = 4096 * 81 + 81 + 4096 * 324 + 324
    assert size(COCO) == (convolutions + rpn + head + last,) * 2 == (138_316_573,) * 2


def test_kl_loss_adds_one_layer():
    """The paper: a 4096 x 324 fully connected layer on top of fc7."""
    assert size(with_variance(COCO))[0] - size(COCO)[0] == 4096 * 324 + 324
    assert size(with_variance(VOC_M))[0] - size(VOC_M)[0] == 1024 * 84 + 84


def test_vgg_cnn_m_1024_on_voc_has_the_parameters_of_its_layers():
    convolutions = (
        3 * 49 * 96 + 96 + 96 * 25 * 256 + 256 + 256 * 9 * 512 + 512 + 2 * (512 * 9 * 512 + 512)
    )
    rpn = 512 * 9 * 256 + 256 + 256 * 18 + 18 + 256 * 36 + 36
    head = 512 * 36 * 4096 + 4096 + 4096 * 1024 + 1024
    last = 1024 * 21 + 21 + 1024 * 84 + 84
    assert size(VOC_M)[0] == convolutions + rpn + head + last


@pytest.mark.parametrize(
    ("backbone", "anchors", "rpn", "kl_rpn"),
    [
        ("vgg16", 12, 138_316_573, 138_328_885),
        ("vgg16", 9, 138_307_339, 138_316_573),
        ("vgg16", 15, 138_325_807, 138_341_197),
        ("resnet101", 15, 48_095_279, 48_110_669),
        ("resnet101", 12, 48_086_045, 48_098_357),
        ("resnet101", 9, 48_076_811, 48_086_045),
    ],
)
def test_parameters_of_kl_rpn_table_1(backbone, anchors, rpn, kl_rpn):
    """The paper cuts digits off: with 12 anchors, the baseline's number on COCO, that gives what it
    prints."""
    sizes, head = FIVE_SIZES[5 - anchors // 3 :], "conv5" if backbone == "resnet101" else "mlp"
    config = change(COCO, backbone_name=backbone, roi_head=head, rpn_anchor_sizes=sizes)
    with_kl = change(config, rpn_kind="kl_rpn")
    assert (size(config)[0], size(with_kl)[0]) == (rpn, kl_rpn)
    assert kl_rpn - rpn == 1026 * anchors
    if anchors == 12:
        printed = {"vgg16": (138.31, 138.32), "resnet101": (48.08, 48.09)}
        assert (truncated_millions(rpn), truncated_millions(kl_rpn)) == printed[backbone]


@pytest.mark.parametrize(
    ("classes", "sizes", "agnostic", "rpn", "kl_rpn"),
    [
        (20, (128.0, 256.0, 512.0), False, 54_612_598, 54_621_832),
        (20, (128.0, 256.0, 512.0), True, 50_598_518, 50_607_752),
        (80, COCO.rpn.anchor_sizes, False, 69_674_632, 69_686_944),
        (80, COCO.rpn.anchor_sizes, True, 53_618_312, 53_630_624),
    ],
)
def test_parameters_of_rfcn(classes, sizes, agnostic, rpn, kl_rpn):
    config = change(
        COCO,
        backbone_name="resnet101",
        roi_head="rfcn",
        num_classes=classes,
        rpn_anchor_sizes=sizes,
        roi_class_agnostic=agnostic,
    )
    assert (size(config)[0], size(change(config, rpn_kind="kl_rpn"))[0]) == (rpn, kl_rpn)


def test_class_agnostic_boxes_are_the_same_for_every_class():
    torch.manual_seed(0)
    thin = change(
        COCO, backbone_width=1 / 16, roi_fc_dims=(8, 8), num_classes=3, roi_class_agnostic=True
    )
    for config in (thin, with_variance(thin)):
        predictor = build_detector(config).roi.head.predictor
        _, offsets, log_variance = predictor(torch.randn(5, 8))
        for values in (offsets, log_variance):
            assert values is None or (values.shape == (5, 4, 4) and (values == values[:, :1]).all())
        assert predictor.offsets.out_features == 4


def test_names_choose_the_parts():
    thin = change(COCO, backbone_width=1 / 16, roi_fc_dims=(8, 8))
    assert isinstance(build_detector(thin).backbone, VGG16)
    assert isinstance(
        build_detector(change(thin, backbone_name="vgg_cnn_m_1024")).backbone, VGGCNNM1024
    )
    mobile = build_detector(
        change(thin, backbone_name="mobilenet_v2", backbone_mobilenet_blocks=18)
    )
    assert isinstance(mobile.backbone, MobileNetV2)
    assert build_detector(thin).roi.coder == CenterSizeCoder()
    assert build_detector(change(thin, **EDGES)).roi.coder == EdgeCoder(weight=10.0)
    assert build_detector(change(thin, rpn_kind="kl_rpn", **KL_HEAD)).roi.coder == EdgeCoder(
        weight=10.0
    )
    residual = change(thin, backbone_name="resnet50")
    assert isinstance(
        build_detector(change(residual, roi_head="conv5")).roi.head.box_head, Conv5Head
    )
    assert isinstance(build_detector(change(residual, roi_head="rfcn")).roi.head, RFCNHead)
    assert not build_detector(change(thin, roi_decode_minus_one=False)).roi.coder.minus_one
    assert build_detector(change(thin, roi_head="none")).roi is None


def test_initial_weights_are_those_of_the_paper():
    torch.manual_seed(0)
    last = build_detector(
        with_variance(change(COCO, backbone_width=1 / 16, roi_fc_dims=(64, 512)))
    ).roi.head.predictor
    for layer, std in ((last.class_logits, 1e-2), (last.offsets, 1e-3), (last.log_variance, 1e-4)):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
        assert not layer.bias.any()


def test_the_same_seed_gives_the_same_weights():
    thin = with_variance(change(COCO, backbone_width=1 / 16, roi_fc_dims=(8, 8)))
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_detector(thin).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
