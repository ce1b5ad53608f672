"""Network configurations in one line: a group of ModelConfig, then its field,
``roi_head="conv5"``."""

from dataclasses import replace
from typing import Any

from models.backbones.base import BackboneConfig
from models.build import ModelConfig

EDGES: dict[str, Any] = {"rpn_box_coding": "edges", "roi_box_coding": "edges"}
KL: dict[str, Any] = {**EDGES, "roi_log_variance": True, "roi_box_loss": "kl"}
KL_HEAD: dict[str, Any] = {
    "roi_box_coding": "edges",
    "roi_log_variance": True,
    "roi_box_loss": "kl",
}
TINY_RESNET: dict[str, Any] = {"backbone_name": "resnet50", "backbone_resnet_blocks": (1, 1, 1, 1)}


def change(config: ModelConfig, **fields: Any) -> ModelConfig:
    """``config`` with ``fields`` changed: ``backbone_*``, ``rpn_*`` and ``roi_*`` in their groups,
    others in itself."""
    groups: dict[str, dict[str, Any]] = {"backbone": {}, "rpn": {}, "roi": {}}
    own = {}
    for name, value in fields.items():
        group, _, field = name.partition("_")
        if group in groups and field:
            groups[group][field] = value
        else:
            own[name] = value
    parts = {group: replace(getattr(config, group), **values) for group, values in groups.items()}
    return replace(config, **parts, **own)


def model_config(*, backbone_name: str, num_classes: int, **fields: Any) -> ModelConfig:
    """A ModelConfig with ``fields`` as in ``change``."""
    plain = ModelConfig(num_classes=num_classes, backbone=BackboneConfig(name=backbone_name))
    return change(plain, **fields)
