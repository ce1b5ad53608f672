"""Whole networks: R50-FPN beside torchvision's with the same weights, VGG-16 beside its FLOPs."""

from collections.abc import Iterator

import torch

from data.records import Detections
from experiments.kl_loss.runs import vgg16_coco_kl
from experiments.records import Run
from experiments.scales import at_scale
from models.build import build_detector
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.speed.floor import count_flops
from scripts.engine.speed.latency import training_step
from scripts.engine.speed.torchvision_peer import detection_pair, training_pair
from scripts.engine.speed.work import Work
from scripts.engine.synthetic import batch_for, largest_size

# (height, width) px of the images: what torchvision resizes a 3:4 photo to, and a smaller one
DETECTION_SIZE, TRAINING_SIZE, TRAINING_IMAGES = (800, 1066), (600, 800), 2
PEER = "torchvision's fasterrcnn_resnet50_fpn"


def detection(device: torch.device) -> Iterator[Work]:
    """Detection in one photo: R50-FPN at COCO's size, VGG-16 of KL Loss Table 1."""
    pair = detection_pair(size=DETECTION_SIZE, device=device)
    yield Work(
        part="detection",
        name=f"R50-FPN, {DETECTION_SIZE[0]} x {DETECTION_SIZE[1]} px",
        grows="images",
        size=1,
        ours=pair.ours,
        peer_name=PEER,
        peer=pair.theirs,
        flops=count_flops(pair.ours),
    )
    run = at_scale(vgg16_coco_kl, "paper")
    size = largest_size(run.data)
    detector = build_detector(run.model).to(device).eval()
    batch = batch_for(run, images=1, size=size).to(device)
    config = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02)

    def detect() -> list[Detections]:
        return postprocess(detector.candidates(batch, config.score_threshold), config)

    yield Work(
        part="detection",
        name=f"VGG-16 with KL Loss and voting, {size[0]} x {size[1]} px",
        grows="images",
        size=1,
        ours=detect,
        flops=count_flops(detect),
    )


def training(device: torch.device) -> Iterator[Work]:
    """A training step: R50-FPN, and VGG-16 at the mini scale."""
    height, width = TRAINING_SIZE
    pair = training_pair(size=TRAINING_SIZE, images=TRAINING_IMAGES, device=device)
    yield Work(
        part="training",
        name=f"a step of R50-FPN, {height} x {width} px",
        grows="images",
        size=TRAINING_IMAGES,
        ours=pair.ours,
        peer_name=PEER,
        peer=pair.theirs,
        flops=count_flops(pair.ours),
    )
    yield mini_step(at_scale(vgg16_coco_kl, "mini"), device)


def mini_step(run: Run, device: torch.device) -> Work:
    """One update of a run at its own batch size."""
    step = training_step(run, build_detector(run.model).to(device), device)
    return Work(
        part="training",
        name="a step of VGG-16 with KL Loss at mini",
        grows="images",
        size=run.train.batch_size,
        ours=step,
        flops=count_flops(step),
    )
