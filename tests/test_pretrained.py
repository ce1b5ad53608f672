"""Weight files: what fits goes where it belongs, what does not is a sentence."""

import pickle

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import resnet

from models.build import ModelConfig, build_detector
from models.pretrained import RENAMED, load_pretrained, read_state_dict, torchvision_state
from models.resnet import Conv5Head, ResNet, conv5

THIN = {"num_classes": 3, "fc_dims": (8, 8), "rpn_dim": 8}


@pytest.fixture(scope="module")
def vgg16():
    """The convolutions of torchvision's VGG-16 with random weights; its large classifier is never made."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = models.vgg16(weights=None)
    layers = network.features.to_empty(device="cpu")
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1)
    return layers.eval()


def saved(path, content):
    torch.save(content, path)
    return path


def test_vgg16_features_equal_torchvisions(vgg16, tmp_path):
    state = {f"features.{name}": value for name, value in vgg16.state_dict().items()}
    state["classifier.6.weight"] = torch.zeros(2, 2)  # the ImageNet classes have no place
    network = build_detector(ModelConfig(backbone="vgg16", **THIN))
    line = load_pretrained(network, "vgg16", saved(tmp_path / "vgg.pth", state))
    assert "26 of 26 backbone tensors and 0 of the box head" in line
    images = torch.randn(1, 3, 64, 96)  # a multiple of 16: rounding up and down are the same
    with torch.no_grad():
        torch.testing.assert_close(network.backbone(images), vgg16[:-1](images), atol=1e-4, rtol=1e-4)


def test_vgg16_classifier_becomes_fc6_and_fc7(vgg16, tmp_path):
    state = {f"features.{name}": value for name, value in vgg16.state_dict().items()}
    state |= {"classifier.0.weight": torch.full((8, 512 * 9), 2.0), "classifier.0.bias": torch.full((8,), 3.0),
              "classifier.3.weight": torch.full((8, 8), 4.0), "classifier.3.bias": torch.full((8,), 5.0)}
    network = build_detector(ModelConfig(backbone="vgg16", pool_size=3, **THIN))
    assert "4 of the box head" in load_pretrained(network, "vgg16", saved(tmp_path / "vgg.pth", {"state_dict": state}))
    values = [p.flatten()[0].item() for p in network.roi_head.box_head.parameters()]
    assert values == [2.0, 3.0, 4.0, 5.0]


def test_vgg_cnn_m_takes_caffes_names(tmp_path):
    source = build_detector(ModelConfig(backbone="vgg_cnn_m_1024", **THIN)).backbone.features
    state = {}
    for name, index in {"conv1": 0, "conv2": 4, "conv3": 8, "conv4": 10, "conv5": 12}.items():
        state[f"{name}.weight"] = source[index].weight.detach().half()
        state[f"{name}.bias"] = torch.randn(1, 1, 1, source[index].out_channels)  # Caffe's shape
    network = build_detector(ModelConfig(backbone="vgg_cnn_m_1024", **THIN))
    assert "10 of 10 backbone tensors" in load_pretrained(network, "vgg_cnn_m_1024", saved(tmp_path / "m.pth", state))
    found = network.backbone.features[12]
    torch.testing.assert_close(found.weight, source[12].weight.half().float())
    torch.testing.assert_close(found.bias, state["conv5.bias"].flatten())


def test_mobilenet_is_folded_on_the_way(tmp_path):
    torch.manual_seed(0)
    source = models.mobilenet_v2(weights=None).eval()
    source.features[0][1].running_mean.normal_()
    network = build_detector(ModelConfig(backbone="mobilenet_v2", mobilenet_blocks=18, **THIN))
    line = load_pretrained(network, "mobilenet_v2", saved(tmp_path / "mobile.pth", source.state_dict()))
    assert "102 of 102 backbone tensors" in line
    images = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(network.backbone.features[0](images), source.features[0](images), atol=1e-5, rtol=1e-5)


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
    return nn.ModuleDict({"backbone": ResNet(blocks=blocks, **how), "roi_head": nn.ModuleDict({"box_head": head})})


def rfcn():
    body = conv5(1024, blocks=1, width=1.0, caffe=True, dilated=True)
    return nn.ModuleDict({"backbone": ResNet(blocks=(1, 2, 2, 1), caffe=True), "roi_head": nn.ModuleDict({"body": body})})


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
@pytest.mark.parametrize(("network", "home"), [(faster_rcnn, "roi_head.box_head.layer4."), (rfcn, "roi_head.body.")])
def test_every_tensor_of_a_resnet_has_a_home(resnet_state, tmp_path, backbone, network, home):
    """6 blocks with 3 * 5 tensors, 4 of them with a projection of 5 more, and the first layer's 5: 115."""
    network = network()
    line = load_pretrained(network, backbone, saved(tmp_path / "resnet.pth", resnet_state))
    assert "115 of 115 backbone tensors and 0 of the box head" in line
    homes = {"conv1.": "backbone.features.0.", "bn1.": "backbone.features.1.", "layer1.": "backbone.features.4.",
             "layer2.": "backbone.features.5.", "layer3.": "backbone.features.6.", "layer4.": home}
    found = network.state_dict()
    for name, value in resnet_state.items():
        prefix, rest = name.split(".", 1)
        if prefix != "fc" and rest.split(".")[-1] != "num_batches_tracked":
            torch.testing.assert_close(found[homes[f"{prefix}."] + rest], value, atol=0, rtol=0)


def test_resnet_file_as_converted_from_caffe(resnet_state, tmp_path):
    """Old files count no batches; the layout of the strides is the detector's, not the file's."""
    state = {name: value for name, value in resnet_state.items() if not name.endswith("num_batches_tracked")}
    network = faster_rcnn(caffe=True)
    assert "115 of 115" in load_pretrained(network, "resnet101", saved(tmp_path / "resnet101_caffe.pth", state))
    assert network["backbone"].features[5][0].conv1.stride == (2, 2)
    torch.testing.assert_close(network["backbone"].features[1].running_var, state["bn1.running_var"], atol=0, rtol=0)


def test_layer4_of_a_resnet_counts_as_backbone(resnet_state, tmp_path):
    state = {name: value for name, value in resnet_state.items() if not name.startswith("layer4.")}
    with pytest.raises(ValueError, match=r"fits only 95 of the 115 .* roi_head\.box_head\.layer4\.0\.conv1\.weight is missing"):
        load_pretrained(faster_rcnn(), "resnet50", saved(tmp_path / "body.pth", state))


def test_resnets_of_another_depth(resnet_state, tmp_path):
    path = saved(tmp_path / "resnet.pth", resnet_state)
    with pytest.raises(ValueError, match=r"fits only 115 of the 130 .* backbone\.features\.6\.2\.conv1\.weight is missing"):
        load_pretrained(faster_rcnn((1, 2, 3, 1)), "resnet101", path)
    network = faster_rcnn((1, 2, 1, 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"of a deeper network than resnet50, which has no backbone\.features\.6\.1\.conv1"):
        load_pretrained(network, "resnet50", path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("backbone", "named"), [("resnet50", models.ResNet50_Weights), ("resnet101", models.ResNet101_Weights)])
def test_torchvisions_resnets_are_the_first_edition(monkeypatch, backbone, named):
    monkeypatch.setattr(named, "get_state_dict", lambda entry, **_: {"entry": entry})
    state, source = torchvision_state(backbone)
    assert state["entry"] is named.IMAGENET1K_V1
    assert source == f"torchvision {named.__name__}.IMAGENET1K_V1"


def test_no_two_prefixes_of_a_file_share_a_home():
    for pairs in RENAMED.values():
        assert len({new for _, new in pairs}) == len(pairs)


@pytest.mark.parametrize(("content", "sentence"), [
    ([1, 2], "holds no state dict"), ({"epoch": 3}, "holds no state dict"), ({3: torch.zeros(1)}, "holds no state dict"),
    (torch.zeros(2), "holds no state dict"),
])
def test_a_file_that_is_no_state_dict(tmp_path, content, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_state_dict(saved(tmp_path / "x.pth", content))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [b"", b"hello, I am a text file\n", b"PK\x03\x04 no zip", b"\x80\x02}q\x00(",
                                     pickle.dumps({"a": 1}), bytes(range(256))])
def test_a_file_that_torch_cannot_read(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pth (cannot be read as a plain|holds no) state dict"):
        read_state_dict(path)


def test_a_truncated_file(vgg16, tmp_path):
    path = saved(tmp_path / "x.pth", {"features.0.weight": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="cannot be read as a plain state dict"):
        read_state_dict(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ValueError, match=r"The weight file .*none\.pth does not exist"):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="cannot be read as a plain state dict"):
        read_state_dict(tmp_path)


class Code:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="cannot be read as a plain state dict"):
        read_state_dict(saved(tmp_path / "evil.pth", {"features.0.weight": Code()}))
    assert "this ran" not in capsys.readouterr().out


def test_weights_of_another_network(vgg16, tmp_path):
    path = saved(tmp_path / "vgg.pth", {f"features.{name}": value for name, value in vgg16.state_dict().items()})
    with pytest.raises(ValueError, match="fits only 0 of the 10 tensors of the vgg_cnn_m_1024 backbone"):
        load_pretrained(build_detector(ModelConfig(backbone="vgg_cnn_m_1024", **THIN)), "vgg_cnn_m_1024", path)
    with pytest.raises(ValueError, match="not those of torchvision's mobilenet_v2"):
        load_pretrained(build_detector(ModelConfig(backbone="mobilenet_v2", **THIN)), "mobilenet_v2", path)
    thin = build_detector(ModelConfig(backbone="vgg16", width=0.125, **THIN))
    before = {name: value.clone() for name, value in thin.state_dict().items()}
    with pytest.raises(ValueError, match=r"fits only 0 of the 26 .* has another shape\); give weights of the same network"):
        load_pretrained(thin, "vgg16", path)
    assert all(torch.equal(value, before[name]) for name, value in thin.state_dict().items())


def test_no_torchvision_weights_for_vgg_cnn_m():
    with pytest.raises(ValueError, match="no ImageNet weights for vgg_cnn_m_1024; give a file with --weights FILE"):
        torchvision_state("vgg_cnn_m_1024")


def test_no_network_is_a_sentence(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(models.VGG16_Weights, "get_state_dict", offline)
    with pytest.raises(ValueError, match=r"cannot be downloaded \(no route to host\); fetch https://.* --weights FILE"):
        torchvision_state("vgg16")
