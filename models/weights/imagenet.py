"""ImageNet weights: torchvision's own, or those of a file (scripts/engine/weights/weight_file.py),
renamed to our names.

A state dict is in torchvision's names (``features.*``, ``classifier.*``; ``conv1.*``, ``layer1.*``
for ResNets), for VGG-CNN-M-1024 in Caffe's layer names (``conv1.weight`` ... ``fc7.bias``), for a
ResNet also in those of Detectron (``conv1_w``, ``res2_0_branch2a_w``; the MSRA models) or
Detectron2 (``stem.conv1.weight``, ``res2.0.conv1.weight``). Pixels: torchvision's weights expect
the "torchvision" convention, Caffe and MSRA ones "caffe", the TensorFlow MobileNet "tf"; a file
does not say which, so the run's DataConfig names it. Nor does the file of a ResNet say whether its
strides are torchvision's or Caffe's: the names and shapes are the same, and the run's ModelConfig
names the layout.
"""

from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from models.backbones.mobilenet import folded_state
from models.weights.resnets import (
    detectron2_resnet,
    detectron_resnet,
    is_detectron2_resnet,
    is_detectron_resnet,
)

# (prefix in the file, prefix in the detector); a prefix with two places goes to the one that the
# detector has.
# layer4 is the box head of Faster R-CNN and the body of R-FCN
RESNET = (
    ("conv1.", "backbone.features.0."),
    ("bn1.", "backbone.features.1."),
    ("layer1.", "backbone.features.4."),
    ("layer2.", "backbone.features.5."),
    ("layer3.", "backbone.features.6."),
    ("layer4.", "roi.head.box_head.layer4."),
    ("layer4.", "roi.head.body."),
)
RENAMED = {
    "vgg16": (
        ("features.", "backbone.features."),
        ("classifier.0.", "roi.head.box_head.fc6."),
        ("classifier.3.", "roi.head.box_head.fc7."),
    ),
    "vgg_cnn_m_1024": (
        ("conv1.", "backbone.features.0."),
        ("conv2.", "backbone.features.4."),
        ("conv3.", "backbone.features.8."),
        ("conv4.", "backbone.features.10."),
        ("conv5.", "backbone.features.12."),
        ("fc6.", "roi.head.box_head.fc6."),
        ("fc7.", "roi.head.box_head.fc7."),
    ),
    "mobilenet_v2": (
        ("features.", "backbone.features."),
        ("features.", "roi.head.box_head.layers."),
    ),
    "resnet50": RESNET,
    "resnet101": RESNET,
}
TORCHVISION = {
    "vgg16": models.VGG16_Weights.IMAGENET1K_V1,
    "mobilenet_v2": models.MobileNet_V2_Weights.IMAGENET1K_V1,
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
    "resnet101": models.ResNet101_Weights.IMAGENET1K_V1,
}
BATCH_COUNT = "num_batches_tracked"  # of a batch norm; nothing reads it, and older files lack it
LEAST_MATCHED = 0.95


def prefixes(backbone: str, *, pyramid: bool) -> tuple[tuple[str, str], ...]:
    """(prefix in the file, prefix in the detector) of ``backbone``; under a feature pyramid the
    backbone is its ``bottom_up``, conv5 (layer4) included.

    Raises:
        ValueError: a backbone whose ImageNet weights have no names here.
    """
    if backbone not in RENAMED:
        raise ValueError(
            f"The names of ImageNet weights of {backbone} are not known "
            "(models/weights/imagenet.py); train it from scratch with --weights none, or add its "
            "names there."
        )
    if not pyramid:
        return RENAMED[backbone]
    below = "backbone.bottom_up.features."
    pairs = [(old, new) for old, new in RENAMED[backbone] if old != "layer4."]
    if RENAMED[backbone] is RESNET:
        pairs.append(("layer4.", "backbone.features.7."))
    return tuple((old, new.replace("backbone.features.", below)) for old, new in pairs)


def in_torchvisions_names(state: Mapping[str, Tensor], backbone: str) -> Mapping[str, Tensor]:
    """ImageNet weights of ``backbone`` under the names that RENAMED starts from."""
    if backbone == "mobilenet_v2":
        return folded_state(dict(state))
    if is_detectron_resnet(state):
        return detectron_resnet(state)
    return detectron2_resnet(state) if is_detectron2_resnet(state) else state


def load_pretrained(
    detector: nn.Module, backbone: str, state: Mapping[str, Tensor], source: str
) -> str:
    """Puts ImageNet weights into ``detector`` in place and returns a line that says what was
    loaded.

    Args:
        backbone: the name in ModelConfig.
        state: the weights, as a file has them, or ``torchvision_state``.
        source: where they come from, for the messages.

    Raises:
        ValueError: under 95 % of the backbone's tensors matched (layer4 of a ResNet is backbone,
            wherever the detector has it; the convolutions of a feature pyramid are not), or a
            deeper ResNet than the detector's.
    """
    own = detector.state_dict()
    try:
        renamed = in_our_names(state, backbone, own)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    fitting = {
        name: value
        for name, value in renamed.items()
        if name in own and own[name].shape == value.shape
    }
    matched, total = backbone_matches(own, fitting, source, f"{backbone} backbone")
    if RENAMED[backbone] is RESNET:
        check_depth(renamed, own, backbone, source)
    detector.load_state_dict(fitting, strict=False)
    of_the_head = len(fitting) - matched
    return (
        f"weights: {matched} of {total} backbone tensors and {of_the_head} of the box head "
        f"from {source}"
    )


def in_our_names(
    state: Mapping[str, Tensor], backbone: str, own: Container[str]
) -> dict[str, Tensor]:
    """ImageNet weights in the names of a detector.

    Args:
        state: the weights, as a file has them.
        backbone: the name in ModelConfig.
        own: the names of the detector's tensors.
    """
    pyramid = "backbone.lateral.0.weight" in own
    pairs = prefixes(backbone, pyramid=pyramid)
    renamed = {}
    for name, value in in_torchvisions_names(state, backbone).items():
        if name.endswith(BATCH_COUNT):
            continue
        for old, new in pairs:
            if name.startswith(old):
                flat = value.reshape(-1) if name.endswith("bias") else value
                renamed[new + name.removeprefix(old)] = flat
    return renamed


def check_depth(names: Iterable[str], own: Container[str], backbone: str, source: str) -> None:
    """Refuses the weights of a deeper ResNet: every tensor of a ResNet-50 fits one of a ResNet-101.

    Args:
        names: of the file's tensors, in our names.
        own: the names of the detector's tensors.
        backbone: the name in ModelConfig.
        source: where the weights come from, for the message.

    Raises:
        ValueError: a weight of the file's backbone is none of the detector's.
    """
    for name in names:
        if name.startswith("backbone.") and name.endswith(".weight") and name not in own:
            raise ValueError(
                f"{source} is of a deeper network than {backbone}, which has no {name}; give "
                "weights of the same network."
            )


def backbone_matches(
    own: Iterable[str], fitting: Container[str], source: object, network: str
) -> tuple[int, int]:
    """How many of a detector's backbone tensors are ``fitting``, and how many there are.

    Args:
        own: the names of the detector's tensors.
        fitting: the names of those that the file has in the same shape.
        source: where the weights come from, for the message.
        network: what they are to fit, for the message.

    Returns:
        (matched, all) tensors.

    Raises:
        ValueError: under 95 % of them are fitting.
    """
    pretrained = [name for name in own if is_pretrained(name)]
    missing = [name for name in pretrained if name not in fitting]
    matched = len(pretrained) - len(missing)
    if matched < LEAST_MATCHED * len(pretrained):
        raise ValueError(
            f"{source} fits only {matched} of the {len(pretrained)} tensors of the {network} (for "
            f"example {missing[0]} is missing or has another shape); give weights of the same "
            "network."
        )
    return matched, len(pretrained)


def is_pretrained(name: str) -> bool:
    """Whether a tensor of a detector is one of its backbone that ImageNet weights have, conv5
    included."""
    return (
        name.startswith(("backbone.", "roi.head.box_head.layer", "roi.head.body."))
        and not name.startswith(("backbone.lateral.", "backbone.output."))
        and not name.endswith(BATCH_COUNT)
    )


def torchvision_file(backbone: str) -> Path | None:
    """Where torchvision keeps its ImageNet weights of ``backbone``, which may not be there yet;
    None if it has none.
    """
    if backbone not in TORCHVISION:
        return None
    name = TORCHVISION[backbone].url.rpartition("/")[2]
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def torchvision_state(backbone: str) -> tuple[Mapping[str, Tensor], str]:
    """torchvision's ImageNet weights of ``backbone`` and their name.

    Raises:
        ValueError: there are none, they cannot be downloaded, or the file in the cache is damaged.
    """
    if backbone not in TORCHVISION:
        raise ValueError(
            f"torchvision has no ImageNet weights for {backbone}; give a file with --weights FILE, "
            "or --weights none to train from scratch."
        )
    entry = TORCHVISION[backbone]
    try:
        state = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        return state, f"torchvision {entry}"
    except OSError as error:
        raise ValueError(
            f"torchvision's weights {entry} are not in its cache and cannot be downloaded "
            f"({error}); fetch {entry.url} on a connected machine and pass --weights FILE, or "
            "--weights none to train from scratch."
        ) from error
    except Exception as error:  # bytes that are no state dict make the unpickler raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise ValueError(
            f"torchvision's weights {entry} cannot be read ({reason}); delete "
            f"{torchvision_file(backbone)}, and they are downloaded again."
        ) from error
