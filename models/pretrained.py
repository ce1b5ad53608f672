"""ImageNet weights: torchvision's own, or a local file, renamed to our names.

A file holds a state dict in torchvision's names (``features.*``, ``classifier.*``) or, for VGG-CNN-M-1024, Caffe's
layer names (``conv1.weight`` ... ``fc7.bias``). Files are read with ``weights_only=True``: a pickle cannot run code.
Pixels: torchvision's weights expect the "torchvision" convention, Caffe conversions "caffe", the TensorFlow MobileNet
"tf"; a file does not say which, so the run's DataConfig names it.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from models.mobilenet import folded_state

RENAMED = {
    "vgg16": {"features.": "backbone.features.", "classifier.0.": "box_head.fc6.", "classifier.3.": "box_head.fc7."},
    "vgg_cnn_m_1024": {"conv1.": "backbone.features.0.", "conv2.": "backbone.features.4.",
                       "conv3.": "backbone.features.8.", "conv4.": "backbone.features.10.",
                       "conv5.": "backbone.features.12.", "fc6.": "box_head.fc6.", "fc7.": "box_head.fc7."},
    "mobilenet_v2": {"features.": "backbone.features."},
}
TORCHVISION = {"vgg16": models.VGG16_Weights.IMAGENET1K_V1, "mobilenet_v2": models.MobileNet_V2_Weights.IMAGENET1K_V1}
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
        ValueError: nothing to load from, an unreadable file, or under 95 % of the backbone's tensors matched.
    """
    state, source = (read_state_dict(weights), str(weights)) if weights else torchvision_state(backbone)
    if backbone == "mobilenet_v2":
        state = folded_state(state)
    renamed = {}
    for name, value in state.items():
        for old, new in RENAMED[backbone].items():
            if name.startswith(old):
                renamed[new + name.removeprefix(old)] = value.reshape(-1) if name.endswith("bias") else value
    own = detector.state_dict()
    fitting = {name: value for name, value in renamed.items() if name in own and own[name].shape == value.shape}
    wanted = [name for name in own if name.startswith("backbone.")]
    matched = sum(name in fitting for name in wanted)
    if matched < LEAST_MATCHED * len(wanted):
        missing = next(name for name in wanted if name not in fitting)
        raise ValueError(f"{source} fits only {matched} of the {len(wanted)} tensors of the {backbone} backbone (for "
                         f"example {missing} is missing or has another shape); give weights of the same network.")
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
