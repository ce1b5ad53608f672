"""KL Loss Table 2: latency of VGG-16 Faster R-CNN without and with KL Loss and var voting.

The paper measured on a GTX 1080 Ti; it does not say whether the voting is in the 2 ms (../README.md point 41). Here the
network and the post-processing are timed apart, in one process, by scripts/benchmark.py.
"""

from dataclasses import replace

from experiments.kl_loss.runs import vgg16_coco, vgg16_coco_kl
from experiments.records import Row, published
from postprocess.pipeline import PostprocessConfig

TITLE = "KL Loss Table 2: inference latency, VGG-16 Faster R-CNN"
METRIC = "latency"
COLUMNS = ("latency_ms",)
EXTRA_COLUMNS = ("network_ms", "postprocess_ms", "ratio")

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.3)
SOFT_VOTE = replace(NMS, suppression="soft_gaussian", sigma_t=0.02)

ROWS = (
    Row(label="baseline", run=vgg16_coco, postprocess=NMS, published=published("kl_loss_table2", 0)),
    Row(label="ours", run=vgg16_coco_kl, postprocess=SOFT_VOTE, published=published("kl_loss_table2", 1)),
)
COMPARISONS = (("ours", "baseline"),)
