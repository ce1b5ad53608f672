"""Other code bases' detectors in our names: every tensor arrives, and rows are in our order."""

import pytest
import torch
from torchvision.ops import FrozenBatchNorm2d

from models.backbones.base import Norm
from models.weights.detectors import (
    background_first,
    by_ratio,
    detect_format,
    edges_in_order,
    from_detectron,
    from_detectron2,
    from_torchvision,
    offsets_by_ratio,
)
from models.weights.resnets import detectron_resnet, with_eps
from tests.foreign_names import (
    affine,
    detectron2_c4,
    detectron2_detector,
    detectron_c4,
    detectron_detector,
    torchvision_detector,
)

HEADS = {
    "rpn.head.conv.0.0": "rpn.head.conv",
    "rpn.head.cls_logits": "rpn.head.objectness",
    "rpn.head.bbox_pred": "rpn.head.offsets",
    "roi_heads.box_head.fc6": "roi.head.box_head.fc6",
    "roi_heads.box_head.fc7": "roi.head.box_head.fc7",
    "roi_heads.box_predictor.cls_score": "roi.head.predictor.class_logits",
    "roi_heads.box_predictor.bbox_pred": "roi.head.predictor.offsets",
    "roi_heads.mask_predictor.conv5_mask": "mask.head.upsample",
    "roi_heads.mask_predictor.mask_fcn_logits": "mask.head.logits",
}
for level in "0123":
    HEADS |= {
        f"backbone.fpn.inner_blocks.{level}.0": f"backbone.lateral.{level}",
        f"backbone.fpn.layer_blocks.{level}.0": f"backbone.output.{level}",
        f"roi_heads.mask_head.{level}.0": f"mask.head.convs.{level}",
    }


@pytest.fixture(scope="module")
def shapes():
    """Names and shapes of torchvision's Mask R-CNN with 91 classes, without numbers."""
    return torchvision_detector(mask=True).state_dict()


@pytest.fixture(scope="module")
def numbers(shapes):
    """A small state dict with the same names: of each tensor the first axis, all numbers different;
    variances positive."""
    torch.manual_seed(0)
    return {
        name: torch.rand(value.shape[:1] + (1,) * (value.ndim - 1)) + 0.5
        for name, value in shapes.items()
    }


def expected(state, *, pyramid=True):
    """The tensors of a torchvision detector under our names, worked out by text alone."""
    found = {}
    for name, value in without_statistics(state).items():
        if name.startswith("backbone.body."):
            layer, rest = name.removeprefix("backbone.body.").split(".", 1)
            index = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}[
                layer
            ]
            home = (
                f"backbone.bottom_up.features.{index}" if pyramid else f"backbone.features.{index}"
            )
            home = "roi.head.box_head.layer4" if layer == "layer4" and not pyramid else home
            found[f"{home}.{rest}"] = value
        else:
            module, part = name.rsplit(".", 1)
            found[f"{HEADS[module]}.{part}"] = value
    return found


def without_statistics(state):
    return {
        name: value for name, value in state.items() if not name.endswith("num_batches_tracked")
    }


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_every_tensor_of_torchvisions_mask_rcnn_has_a_home(shapes):
    """53 convolutions and as many norms of four tensors; 8 layers of the pyramid, 3 of the RPN, 4
    of the box head and 6 of the mask head with a weight and a bias each: 53 * 5 + 21 * 2 = 307."""
    found, wanted = from_torchvision(shapes), expected(shapes)
    assert len(found) == 307
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in wanted.items()
    }
    assert found["backbone.lateral.0.weight"].shape == (256, 256, 1, 1)  # C2, finest first
    assert found["backbone.lateral.3.weight"].shape == (256, 2048, 1, 1)
    assert found["roi.head.predictor.offsets.weight"].shape == (364, 1024)
    assert found["mask.head.logits.weight"].shape == (91, 256, 1, 1)


def test_torchvisions_values_are_kept(numbers):
    assert_same(from_torchvision(numbers, norm_eps=1e-5), expected(numbers))


def test_names_of_old_torchvision_files(numbers):
    """Before 2022 convolutions were not wrapped in a Sequential, and the mask head's layers had
    names."""
    old = {}
    for name, value in without_statistics(numbers).items():
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        for index in range(4):
            name = name.replace(f"_blocks.{index}.0.", f"_blocks.{index}.")
            name = name.replace(f"mask_head.{index}.0.", f"mask_head.mask_fcn{index + 1}.")
        old[name] = value
    assert old.keys() != numbers.keys()
    assert_same(from_torchvision(old, norm_eps=1e-5), expected(numbers))


def test_torchvisions_norms_without_eps_compute_the_same():
    """The published COCO weights have eps 0 and channels whose variance is next to nothing."""
    norm, ours = FrozenBatchNorm2d(3, eps=0.0), Norm(3).eval()
    norm.weight, norm.bias = torch.tensor([1e-8, 0.5, 2.0]), torch.tensor([0.1, 0.2, 0.3])
    norm.running_mean, norm.running_var = (
        torch.tensor([0.0, 0.4, -1.0]),
        torch.tensor([1e-14, 1e-6, 3.0]),
    )
    state = {f"bn1.{name}": value for name, value in norm.state_dict().items()}
    ours.load_state_dict(
        {name.removeprefix("bn1."): value for name, value in with_eps(state, 0.0).items()},
        strict=False,
    )
    images = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(ours(images), norm(images))


@pytest.mark.parametrize("kl", [False, True])
def test_detectron_fpn(numbers, kl):
    wanted = expected(affine_trunk(numbers))
    if kl:
        wanted |= {
            f"roi.head.predictor.log_variance.{part}": wanted[f"roi.head.predictor.offsets.{part}"]
            + 1
            for part in ("weight", "bias")
        }
    assert_same(from_detectron(detectron_detector(numbers, kl=kl)), wanted)


def affine_trunk(state):
    """The state with the norms of its ResNet as scale and shift alone."""
    trunk = affine(
        {
            name.removeprefix("backbone.body."): value
            for name, value in state.items()
            if "backbone.body." in name
        }
    )
    return {**state, **{f"backbone.body.{name}": value for name, value in trunk.items()}}


def test_detectron_c4_puts_res5_into_the_head(numbers):
    found = from_detectron(detectron_c4(detectron_detector(numbers)))
    wanted = {
        name: value
        for name, value in expected(affine_trunk(numbers), pyramid=False).items()
        if not name.startswith(
            ("backbone.lateral", "backbone.output", "mask.head", "roi.head.box_head.fc")
        )
    }
    assert_same(found, wanted)
    assert "roi.head.box_head.layer4.0.downsample.0.weight" in found


def test_detectron_resnet101_names_its_pyramid_after_block_22():
    found = from_detectron(
        {
            "fpn_inner_res4_22_sum_lateral_w": torch.ones(1),
            "fpn_inner_res5_2_sum_b": torch.ones(2),
            "fpn_res4_22_sum_b": torch.ones(3),
        }
    )
    assert {name: len(value) for name, value in found.items()} == {
        "backbone.lateral.2.weight": 1,
        "backbone.lateral.3.bias": 2,
        "backbone.output.2.bias": 3,
    }


def test_detectrons_affine_norm_is_exactly_scale_and_shift():
    state = detectron_resnet(
        {
            "conv1_w": torch.ones(2, 3, 7, 7),
            "conv1_b": torch.tensor([0.0, 2.0]),
            "res_conv1_bn_s": torch.tensor([0.25, -3.0]),
            "res_conv1_bn_b": torch.tensor([1.0, 2.0]),
        }
    )
    norm = Norm(2).eval()
    norm.load_state_dict(
        {name.removeprefix("bn1."): value for name, value in state.items() if "bn1" in name},
        strict=False,
    )
    images = torch.randn(1, 2, 3, 3)
    shifted = images + torch.tensor([0.0, 2.0])[:, None, None]  # Caffe's conv1 has a bias
    by_hand = (
        torch.tensor([0.25, -3.0])[:, None, None] * shifted
        + torch.tensor([1.0, 2.0])[:, None, None]
    )
    torch.testing.assert_close(norm(images), by_hand, atol=1e-6, rtol=1e-6)


def test_edges_of_the_kl_loss_authors():
    """Two classes; rows named after what they predict, 10 x1 first."""
    rows = torch.tensor(
        [11.0, 12, 13, 14, 21, 22, 23, 24]
    )  # x1, x2, y1, y2 of class 1, then of class 2
    assert edges_in_order(rows).tolist() == [11, 13, 12, 14, 21, 23, 22, 24]
    assert edges_in_order(edges_in_order(rows)).tolist() == rows.tolist()
    file = {
        "bbox_pred_std_b": rows,
        "bbox_pred_std_w": rows[:, None],
        "bbox_pred_b": rows,
        "rpn_bbox_pred_fpn2_b": rows,
    }
    found = from_detectron(file)
    for name in (
        "roi.head.predictor.log_variance",
        "roi.head.predictor.offsets",
        "rpn.head.offsets",
    ):
        assert found[f"{name}.bias"].tolist() == [11, 13, 12, 14, 21, 23, 22, 24]
    assert (
        from_detectron({"bbox_pred_b": rows})["roi.head.predictor.offsets.bias"].tolist()
        == rows.tolist()
    )


def test_detectron2_fpn(numbers):
    """The zero rows are the background's box and mask, which Detectron2 does not predict."""
    wanted = expected(numbers)
    for part in ("weight", "bias"):
        wanted[f"roi.head.predictor.offsets.{part}"] = wanted[
            f"roi.head.predictor.offsets.{part}"
        ].clone()
        wanted[f"roi.head.predictor.offsets.{part}"][:4] = 0
        wanted[f"mask.head.logits.{part}"] = wanted[f"mask.head.logits.{part}"].clone()
        wanted[f"mask.head.logits.{part}"][:1] = 0
    assert_same(from_detectron2(detectron2_detector(numbers)), wanted)


def test_detectron2_c4(numbers):
    found = from_detectron2(detectron2_c4(detectron2_detector(numbers)))
    wanted = {
        name
        for name in expected(numbers, pyramid=False)
        if not name.startswith(
            ("backbone.lateral", "backbone.output", "mask.head", "roi.head.box_head.fc")
        )
    }
    assert found.keys() == wanted


def test_detectron2s_background_is_last():
    file = {
        "roi_heads.box_predictor.cls_score.bias": torch.tensor(
            [1.0, 2.0, 0.0]
        ),  # class 1, class 2, background
        "roi_heads.box_predictor.bbox_pred.bias": torch.arange(1.0, 9.0),
    }
    found = from_detectron2(file)
    assert found["roi.head.predictor.class_logits.bias"].tolist() == [0, 1, 2]
    assert found["roi.head.predictor.offsets.bias"].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert background_first(torch.tensor([5.0, 6.0, 7.0])).tolist() == [7, 5, 6]
    agnostic = from_detectron2(
        {**file, "roi_heads.box_predictor.bbox_pred.bias": torch.arange(4.0)}
    )
    assert agnostic["roi.head.predictor.offsets.bias"].tolist() == [
        0,
        1,
        2,
        3,
    ]  # one box for all classes stays one


def test_anchors_of_a_position_by_ratio_then_size():
    """Two sizes s and three ratios r: Detectron2 has s1r1 s1r2 s1r3 s2r1 s2r2 s2r3, we have s1r1
    s2r1 s1r2 ..."""
    rows = torch.tensor([11.0, 12, 13, 21, 22, 23])
    assert by_ratio(rows).tolist() == [11, 21, 12, 22, 13, 23]
    offsets = (rows[:, None] * 10 + torch.arange(4.0)).flatten()
    assert offsets_by_ratio(offsets)[:8].tolist() == [110, 111, 112, 113, 210, 211, 212, 213]
    pyramid = torch.tensor([1.0, 2, 3])  # one size a level
    assert by_ratio(pyramid).tolist() == [1, 2, 3]


def test_whose_weights(numbers):
    assert detect_format(numbers) == "torchvision"
    theirs = detectron_detector(numbers)
    assert detect_format(theirs) == "detectron"
    assert detect_format(detectron_c4(theirs)) == "detectron"
    assert detect_format(detectron2_detector(numbers)) == "detectron2"
    assert detect_format(detectron2_c4(detectron2_detector(numbers))) == "detectron2"
    assert detect_format(from_torchvision(numbers)) == "ours"
    assert detect_format(from_detectron(detectron_c4(theirs))) == "ours"
    trunk = {
        name.removeprefix("backbone.body."): value
        for name, value in numbers.items()
        if "backbone.body." in name
    }
    assert detect_format(trunk) == "imagenet"
    for name in ("features.0.weight", "conv1_w", "res2_0_branch2a_w", "res2.0.conv1.weight"):
        assert detect_format({name: torch.zeros(1)}) == "imagenet"


@pytest.mark.parametrize("state", [{}, {"encoder.layer.0.weight": torch.zeros(1)}])
def test_weights_of_no_known_network(state):
    with pytest.raises(
        ValueError, match=r"are of no known network.*; known are Faster and Mask R-CNN"
    ):
        detect_format(state)


def test_a_tensor_without_a_place_is_left_out():
    assert from_detectron({"kps_score_w": torch.zeros(1)}) == {}
    assert (
        from_detectron2(
            {
                "pixel_mean": torch.zeros(3, 1, 1),
                "proposal_generator.anchor_generator.cell_anchors.0": torch.zeros(3, 4),
            }
        )
        == {}
    )
    assert (
        from_torchvision({"roi_heads.keypoint_predictor.kps_score_lowres.weight": torch.zeros(1)})
        == {}
    )
