"""Weight files: what fits goes where it belongs, what does not is a sentence."""

import re

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import resnet

from models.backbones.resnet import Conv5Head, ResNet, conv5
from models.build import build_detector
from models.weights.imagenet import (
    RENAMED,
    TORCHVISION,
    load_pretrained,
    torchvision_file,
    torchvision_state,
)
from tests.foreign_names import affine, to_detectron, to_detectron2
from tests.networks import model_config

THIN = {"num_classes": 3, "roi_fc_dims": (8, 8), "rpn_channels": 8}


@pytest.fixture(scope="module")
def vgg16():
    """The convolutions of torchvision's VGG-16 with random weights; its large classifier is never
    made."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = models.vgg16(weights=None)
    layers = network.features.to_empty(device="cpu")
    for parameter in layers.parameters():
        torch.nn.init.normal_(
            parameter, std=(2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
        )
    return layers.eval()


def test_vgg16_features_equal_torchvisions(vgg16):
    state = {f"features.{name}": value for name, value in vgg16.state_dict().items()}
    state["classifier.6.weight"] = torch.zeros(2, 2)  # the ImageNet classes have no place
    network = build_detector(model_config(**THIN, backbone_name="vgg16"))
    line = load_pretrained(network, "vgg16", state, "vgg.pth")
    assert "26 of 26 backbone tensors and 0 of the box head" in line
    images = torch.randn(1, 3, 64, 96)  # a multiple of 16: rounding up and down are the same
    with torch.no_grad():
        torch.testing.assert_close(
            network.backbone.features(images), vgg16[:-1](images), atol=1e-4, rtol=1e-4
        )


def test_vgg16_classifier_becomes_fc6_and_fc7(vgg16):
    state = {f"features.{name}": value for name, value in vgg16.state_dict().items()}
    state |= {
        "classifier.0.weight": torch.full((8, 512 * 9), 2.0),
        "classifier.0.bias": torch.full((8,), 3.0),
        "classifier.3.weight": torch.full((8, 8), 4.0),
        "classifier.3.bias": torch.full((8,), 5.0),
    }
    network = build_detector(model_config(**THIN, backbone_name="vgg16", roi_pool_size=3))
    assert "4 of the box head" in load_pretrained(network, "vgg16", state, "vgg.pth")
    values = [p.flatten()[0].item() for p in network.roi.head.box_head.parameters()]
    assert values == [2.0, 3.0, 4.0, 5.0]


def test_vgg_cnn_m_takes_caffes_names():
    source = build_detector(model_config(**THIN, backbone_name="vgg_cnn_m_1024")).backbone.features
    state = {}
    for name, index in {"conv1": 0, "conv2": 4, "conv3": 8, "conv4": 10, "conv5": 12}.items():
        state[f"{name}.weight"] = source[index].weight.detach().half()
        state[f"{name}.bias"] = torch.randn(1, 1, 1, source[index].out_channels)  # Caffe's shape
    network = build_detector(model_config(**THIN, backbone_name="vgg_cnn_m_1024"))
    assert "10 of 10 backbone tensors" in load_pretrained(network, "vgg_cnn_m_1024", state, "m.pth")
    found = network.backbone.features[12]
    torch.testing.assert_close(found.weight, source[12].weight.half().float())
    torch.testing.assert_close(found.bias, state["conv5.bias"].flatten())


def test_mobilenet_is_folded_on_the_way():
    torch.manual_seed(0)
    source = models.mobilenet_v2(weights=None).eval()
    source.features[0][1].running_mean.normal_()
    network = build_detector(
        model_config(**THIN, backbone_name="mobilenet_v2", backbone_mobilenet_blocks=18)
    )
    line = load_pretrained(network, "mobilenet_v2", source.state_dict(), "mobile.pth")
    assert "102 of 102 backbone tensors" in line
    images = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(
            network.backbone.features[0](images), source.features[0](images), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    "how",
    [
        {"roi_head": "conv5"},
        {"backbone_pyramid": True, "rpn_anchor_sizes": (8.0, 16.0, 32.0, 64.0, 128.0)},
    ],
)
def test_the_last_stage_of_a_mobilenet_counts_as_backbone_wherever_it_is(how):
    network = build_detector(
        model_config(**THIN, **how, backbone_name="mobilenet_v2", backbone_mobilenet_blocks=18)
    )
    state = models.mobilenet_v2(weights=None).state_dict()
    assert "102 of 102 backbone tensors and 0 of the box head" in load_pretrained(
        network, "mobilenet_v2", state, "x"
    )


@pytest.fixture(scope="module")
def resnet_state():
    """torchvision's ResNet with few blocks and statistics as after training; fc included."""
    torch.manual_seed(0)
    network = resnet.ResNet(resnet.Bottleneck, [1, 2, 2, 1], num_classes=2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return network.state_dict()


def faster_rcnn(blocks=(1, 2, 2, 1), **how):
    """The parts of a detector that have ImageNet weights, under the names that they have in it."""
    head = Conv5Head(in_channels=1024, blocks=blocks[3], width=1.0, caffe=False)
    return nn.ModuleDict(
        {
            "backbone": ResNet(blocks=blocks, **how),
            "roi": nn.ModuleDict({"head": nn.ModuleDict({"box_head": head})}),
        }
    )


def rfcn():
    body = conv5(1024, blocks=1, width=1.0, caffe=True, dilated=True)
    return nn.ModuleDict(
        {
            "backbone": ResNet(blocks=(1, 2, 2, 1), caffe=True),
            "roi": nn.ModuleDict({"head": nn.ModuleDict({"body": body})}),
        }
    )


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
@pytest.mark.parametrize(
    ("network", "home"), [(faster_rcnn, "roi.head.box_head.layer4."), (rfcn, "roi.head.body.")]
)
def test_every_tensor_of_a_resnet_has_a_home(resnet_state, backbone, network, home):
    """6 blocks with 3 * 5 tensors, 4 of them with a projection of 5 more, and the first layer's 5:
    115."""
    network = network()
    line = load_pretrained(network, backbone, resnet_state, "resnet.pth")
    assert "115 of 115 backbone tensors and 0 of the box head" in line
    homes = {
        "conv1.": "backbone.features.0.",
        "bn1.": "backbone.features.1.",
        "layer1.": "backbone.features.4.",
        "layer2.": "backbone.features.5.",
        "layer3.": "backbone.features.6.",
        "layer4.": home,
    }
    found = network.state_dict()
    for name, value in resnet_state.items():
        prefix, rest = name.split(".", 1)
        if prefix != "fc" and rest.split(".")[-1] != "num_batches_tracked":
            torch.testing.assert_close(found[homes[f"{prefix}."] + rest], value, atol=0, rtol=0)


def test_resnet_file_as_converted_from_caffe(resnet_state):
    """Old files count no batches; the layout of the strides is the detector's, not the file's."""
    state = {
        name: value
        for name, value in resnet_state.items()
        if not name.endswith("num_batches_tracked")
    }
    network = faster_rcnn(caffe=True)
    assert "115 of 115" in load_pretrained(network, "resnet101", state, "resnet101_caffe.pth")
    assert network["backbone"].features[5][0].conv1.stride == (2, 2)
    torch.testing.assert_close(
        network["backbone"].features[1].running_var, state["bn1.running_var"], atol=0, rtol=0
    )


def test_layer4_of_a_resnet_counts_as_backbone(resnet_state):
    state = {name: value for name, value in resnet_state.items() if not name.startswith("layer4.")}
    with pytest.raises(
        ValueError,
        match=r"fits only 95 of the 115 .* "
        r"roi\.head\.box_head\.layer4\.0\.conv1\.weight is missing",
    ):
        load_pretrained(faster_rcnn(), "resnet50", state, "body.pth")


def test_resnets_of_another_depth(resnet_state):
    with pytest.raises(
        ValueError,
        match=r"fits only 115 of the 130 .* backbone\.features\.6\.2\.conv1\.weight is missing",
    ):
        load_pretrained(faster_rcnn((1, 2, 3, 1)), "resnet101", resnet_state, "resnet.pth")
    network = faster_rcnn((1, 2, 1, 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r"of a deeper network than resnet50, which has no backbone\.features\.6\.1\.conv1",
    ):
        load_pretrained(network, "resnet50", resnet_state, "resnet.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("backbone", "named"),
    [("resnet50", models.ResNet50_Weights), ("resnet101", models.ResNet101_Weights)],
)
def test_torchvisions_resnets_are_the_first_edition(monkeypatch, backbone, named):
    monkeypatch.setattr(named, "get_state_dict", lambda entry, **_: {"entry": entry})
    state, source = torchvision_state(backbone)
    assert state["entry"] is named.IMAGENET1K_V1
    assert source == f"torchvision {named.__name__}.IMAGENET1K_V1"


def pyramid():
    """The backbone of a detector with a feature pyramid: its own convolutions have no ImageNet
    weights."""
    own = nn.ModuleDict(
        {name: nn.ModuleList([nn.Conv2d(1, 1, 1)]) for name in ("lateral", "output")}
    )
    bottom_up = ResNet(blocks=(1, 2, 2, 1), whole=True)
    return nn.ModuleDict(
        {
            "backbone": nn.ModuleDict({"bottom_up": bottom_up, **own}),
            "roi": nn.ModuleDict({"head": nn.Linear(1, 1)}),
        }
    )


def test_under_a_pyramid_conv5_is_the_last_part_of_the_backbone(resnet_state):
    """115 tensors as above: the pyramid's own 4 do not count."""
    network = pyramid()
    assert "115 of 115 backbone tensors and 0 of the box head" in load_pretrained(
        network, "resnet50", resnet_state, "x"
    )
    found = network.state_dict()
    for name, index in {
        "conv1": 0,
        "bn1": 1,
        "layer1.0.bn2": "4.0.bn2",
        "layer4.0.conv3": "7.0.conv3",
    }.items():
        torch.testing.assert_close(
            found[f"backbone.bottom_up.features.{index}.weight"],
            resnet_state[f"{name}.weight"],
            atol=0,
            rtol=0,
        )
    state = {name: value for name, value in resnet_state.items() if not name.startswith("layer4.")}
    with pytest.raises(
        ValueError,
        match=r"fits only 95 of the 115 .* backbone\.bottom_up\.features\.7\.0\.conv1\.weight",
    ):
        load_pretrained(pyramid(), "resnet50", state, "x")


@pytest.mark.parametrize("network", [faster_rcnn, rfcn, pyramid])
@pytest.mark.parametrize("to_theirs", [to_detectron, to_detectron2])
def test_msra_resnets_in_the_names_of_detectron(resnet_state, network, to_theirs):
    network, same = network(), network()
    line = load_pretrained(network, "resnet50", to_theirs(resnet_state), "R-50.pkl")
    assert "115 of 115 backbone tensors" in line
    load_pretrained(
        same,
        "resnet50",
        affine(resnet_state) if to_theirs is to_detectron else resnet_state,
        "resnet.pth",
    )
    expected = same.state_dict()
    for name, value in network.state_dict().items():
        if name.startswith(
            ("backbone.bottom_up", "backbone.features", "roi.head.box_head", "roi.head.body")
        ):
            torch.testing.assert_close(value, expected[name])


def test_no_two_prefixes_of_a_file_share_a_home():
    for pairs in RENAMED.values():
        assert len({new for _, new in pairs}) == len(pairs)


def test_weights_of_another_network(vgg16):
    state = {f"features.{name}": value for name, value in vgg16.state_dict().items()}
    with pytest.raises(
        ValueError, match="fits only 0 of the 10 tensors of the vgg_cnn_m_1024 backbone"
    ):
        load_pretrained(
            build_detector(model_config(**THIN, backbone_name="vgg_cnn_m_1024")),
            "vgg_cnn_m_1024",
            state,
            "vgg.pth",
        )
    with pytest.raises(ValueError, match="not those of torchvision's mobilenet_v2"):
        load_pretrained(
            build_detector(model_config(**THIN, backbone_name="mobilenet_v2")),
            "mobilenet_v2",
            state,
            "vgg.pth",
        )
    thin = build_detector(model_config(**THIN, backbone_name="vgg16", backbone_width=0.125))
    before = {name: value.clone() for name, value in thin.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r"fits only 0 of the 26 .* has another shape\); give weights of the same network",
    ):
        load_pretrained(thin, "vgg16", state, "vgg.pth")
    assert all(torch.equal(value, before[name]) for name, value in thin.state_dict().items())


def test_torchvisions_weights_are_checked_by_their_hash(monkeypatch):
    """The hash that torchvision puts into a file's name is asked for before a number is read."""

    def load(url, *, check_hash=False, **_):
        assert check_hash
        assert re.search(r"-[0-9a-f]{8}\.pth$", url)
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    for backbone in TORCHVISION:
        with pytest.raises(ValueError, match="cannot be downloaded"):
            torchvision_state(backbone)


def test_no_torchvision_weights_for_vgg_cnn_m():
    with pytest.raises(
        ValueError, match="no ImageNet weights for vgg_cnn_m_1024; give a file with --weights FILE"
    ):
        torchvision_state("vgg_cnn_m_1024")


def test_no_network_is_a_sentence(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(models.VGG16_Weights, "get_state_dict", offline)
    with pytest.raises(
        ValueError,
        match=r"cannot be downloaded \(no route to host\); fetch https://.* --weights FILE",
    ):
        torchvision_state("vgg16")


def test_the_weights_of_another_network_name_their_file_in_a_short_sentence():
    """Torch's own text has a line for every tensor."""
    state = {f"layer{i}.{j}.conv.weight": torch.zeros(1) for i in range(4) for j in range(40)}
    network = build_detector(model_config(**THIN, backbone_name="mobilenet_v2"))
    with pytest.raises(ValueError, match=r"^photos/r50\.pth: .*mobilenet_v2") as error:
        load_pretrained(network, "mobilenet_v2", state, "photos/r50.pth")
    assert len(str(error.value)) < 300


def test_a_damaged_file_in_torchvisions_cache_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = torchvision_file("resnet50")
    assert path is not None
    path.parent.mkdir()
    path.write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match=rf"cannot be read \(.*\); delete {path}, and they are"):
        torchvision_state("resnet50")
