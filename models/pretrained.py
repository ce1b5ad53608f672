"""ImageNet weights: torchvision's own, or a local file, renamed to our names.

A file holds a state dict in torchvision's names (``features.*``, ``classifier.*``; ``conv1.*``, ``layer1.*`` for
ResNets) or, for VGG-CNN-M-1024, Caffe's layer names (``conv1.weight`` ... ``fc7.bias``). Files are read with
``weights_only=True``: a pickle cannot run code.
Pixels: torchvision's weights expect the "torchvision" convention, Caffe conversions "caffe", the TensorFlow MobileNet
"tf"; a file does not say which, so the run's DataConfig names it. Nor does the file of a ResNet say whether its strides
are torchvision's or Caffe's: the names and shapes are the same, and the run's ModelConfig names the layout.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from models.mobilenet import folded_state

# (prefix in the file, prefix in the detector); a prefix with two homes goes to the one that the detector has.
RESNET = (("conv1.", "backbone.features.0."), ("bn1.", "backbone.features.1."), ("layer1.", "backbone.features.4."),
          ("layer2.", "backbone.features.5."), ("layer3.", "backbone.features.6."),
          ("layer4.", "roi_head.box_head.layer4."), ("layer4.", "roi_head.body."))  # Faster R-CNN, R-FCN
RENAMED = {
    "vgg16": (("features.", "backbone.features."), ("classifier.0.", "roi_head.box_head.fc6."),
              ("classifier.3.", "roi_head.box_head.fc7.")),
    "vgg_cnn_m_1024": (("conv1.", "backbone.features.0."), ("conv2.", "backbone.features.4."),
                       ("conv3.", "backbone.features.8."), ("conv4.", "backbone.features.10."),
                       ("conv5.", "backbone.features.12."), ("fc6.", "roi_head.box_head.fc6."),
                       ("fc7.", "roi_head.box_head.fc7.")),
    "mobilenet_v2": (("features.", "backbone.features."),),
    "resnet50": RESNET,
    "resnet101": RESNET,
}
TORCHVISION = {
    "vgg16": models.VGG16_Weights.IMAGENET1K_V1, "mobilenet_v2": models.MobileNet_V2_Weights.IMAGENET1K_V1,
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1, "resnet101": models.ResNet101_Weights.IMAGENET1K_V1}
BATCH_COUNT = "num_batches_tracked"  # of a batch norm; nothing reads it, and older files lack it
LEAST_MATCHED = 0.95


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32. Raises ValueError, in one sentence, for a file that is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"The weight file {path} does not exist; give the path of a .pth state dict.") from error
    except Exception as error:  # bytes that are no state dict make the unpickler raise anything, KeyError included
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"The weight file {path} cannot be read as a plain state dict ({reason}); save it again with "
                         "torch.save(model.state_dict(), path).") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise ValueError(f"The weight file {path} holds no state dict (names to tensors); save model.state_dict().")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def load_pretrained(detector: nn.Module, backbone: str, weights: Path | None) -> str:
    """Puts ImageNet weights into ``detector`` in place and returns a line that says what was loaded.

    Args:
        backbone: the name in ModelConfig.
        weights: a local file, or None for torchvision's own (cached or downloaded).

    Raises:
        ValueError: nothing to load from, an unreadable file, under 95 % of the backbone's tensors matched (layer4 of a
            ResNet is backbone, wherever the detector has it), or a deeper ResNet than the detector's.
    """
    state, source = (read_state_dict(weights), str(weights)) if weights else torchvision_state(backbone)
    if backbone == "mobilenet_v2":
        state = folded_state(state)
    renamed = {}
    for name, value in state.items():
        for old, new in RENAMED[backbone]:
            if name.startswith(old) and not name.endswith(BATCH_COUNT):
                renamed[new + name.removeprefix(old)] = value.reshape(-1) if name.endswith("bias") else value
    own = detector.state_dict()
    fitting = {name: value for name, value in renamed.items() if name in own and own[name].shape == value.shape}
    homes = ("backbone.", *(new for old, new in RENAMED[backbone] if old == "layer4."))  # layer4 is backbone, too
    wanted = [name for name in own if name.startswith(homes) and not name.endswith(BATCH_COUNT)]
    matched = sum(name in fitting for name in wanted)
    if matched < LEAST_MATCHED * len(wanted):
        missing = next(name for name in wanted if name not in fitting)
        raise ValueError(f"{source} fits only {matched} of the {len(wanted)} tensors of the {backbone} backbone (for "
                         f"example {missing} is missing or has another shape); give weights of the same network.")
    if RENAMED[backbone] is RESNET:  # every tensor of a ResNet-50 fits one of a ResNet-101, whose blocks go on
        for name in renamed:
            if name.startswith("backbone.") and name.endswith(".weight") and name not in own:
                raise ValueError(f"{source} is of a deeper network than {backbone}, which has no {name}; give weights "
                                 "of the same network.")
    detector.load_state_dict(fitting, strict=False)
    return (f"weights: {matched} of {len(wanted)} backbone tensors and {len(fitting) - matched} of the box head "
            f"from {source}")


def torchvision_state(backbone: str) -> tuple[dict[str, Tensor], str]:
    """torchvision's ImageNet weights of ``backbone`` and their name."""
    if backbone not in TORCHVISION:
        raise ValueError(f"torchvision has no ImageNet weights for {backbone}; give a file with --weights FILE, "
                         "or --weights none to train from scratch.")
    entry = TORCHVISION[backbone]
    try:
        return entry.get_state_dict(progress=False, check_hash=True), f"torchvision {entry}"
    except OSError as error:
        raise ValueError(f"torchvision's weights {entry} are not in its cache and cannot be downloaded ({error}); "
                         f"fetch {entry.url} on a connected machine and pass --weights FILE, or --weights none to "
                         "train from scratch.") from error
