"""What only a GPU can show: the same losses, gradients and detections as on the CPU, and a training
step in which the host waits for the device in the suppression of proposals and in precise RoI
pooling alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from data.records import Batch
from experiments.records import Run
from models.backbones.mobilenet import depthwise
from models.build import build_detector
from models.detector import Detector
from models.pooling.pool import Features, Pool
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.synthetic import batch_for
from scripts.engine.update.update import weighted_sum
from tests.networks import change
from tests.shared_training import KINDS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

SIZE = (96, 128)
VOTING = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02, score_threshold=0.01)


@pytest.fixture(autouse=True)
def _exact_products() -> Iterator[None]:
    """Convolutions and products in full float32."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def no_waiting() -> Iterator[None]:
    """An error where the host waits for the device."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def network_and_batch(run: Run, device: str) -> tuple[Detector, Batch]:
    torch.manual_seed(0)
    detector = build_detector(run.model)
    return detector.to(device).train(), batch_for(run, images=2, size=SIZE).to(device)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_the_cpu(kind):
    """Every anchor and every proposal is taken, so that nothing depends on random draws, of which a
    GPU has its own; the jittered boxes of IoU-Net are drawn in any case.
    """
    model = change(
        KINDS[kind].model, rpn_anchors_per_image=20_000, roi_rois_per_image=400, roi_dropout=0.0
    )
    run = replace(KINDS[kind], model=model)
    results = {}
    for device in ("cpu", "cuda"):
        detector, batch = network_and_batch(run, device)
        losses = detector.losses(batch)
        losses.pop("roi_iou", None)
        weighted_sum(losses, 1.0).backward()
        trained = [(name, p.grad) for name, p in detector.named_parameters() if p.grad is not None]
        gradients = {name: gradient.cpu() for name, gradient in trained}
        results[device] = ({name: loss.detach().cpu() for name, loss in losses.items()}, gradients)
    (cpu_losses, cpu_gradients), (losses, gradients) = results["cpu"], results["cuda"]
    torch.testing.assert_close(losses, cpu_losses, rtol=1e-3, atol=1e-4)
    for name, gradient in cpu_gradients.items():
        apart = (gradients[name] - gradient).norm() / gradient.norm().clamp(min=1e-6)
        assert apart < 0.02, f"{name}: {apart:.4f}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_pass_waits_for_the_device_in_suppression_and_precise_pooling_alone(
    kind, monkeypatch
):
    """How many proposals suppression leaves, and how many cells a bin of IoU-Net's pooling reads,
    is known to the device only: both waits are left out.
    """
    detector, batch = network_and_batch(KINDS[kind], "cuda")
    assert detector.rpn is not None
    proposals = detector.rpn.propose(
        detector.rpn(detector.features(batch), batch.padded_size), batch, detector.rpn.train_counts
    )
    monkeypatch.setattr(detector.rpn, "propose", lambda *arguments: proposals)
    if detector.iou is not None:
        pool = partial(pooled_once, pool=detector.iou.pool, kept=[])
        monkeypatch.setattr(detector.iou, "pool", pool)
    weighted_sum(detector.losses(batch), 1.0).backward()  # the first may build tables
    with no_waiting():
        weighted_sum(detector.losses(batch), 1.0).backward()


def pooled_once(features: Features, boxes: Tensor, *, pool: Pool, kept: list[Tensor]) -> Tensor:
    """What ``pool`` gave at the first call, without its graph."""
    if not kept:
        kept.append(pool(features, boxes).detach())
    return kept[0]


@pytest.mark.parametrize("kind", KINDS)
def test_detections_are_those_of_the_cpu(kind):
    found = {}
    for device in ("cpu", "cuda"):
        detector, batch = network_and_batch(KINDS[kind], device)
        found[device] = detector.eval().candidates(batch, 0.0)[0].to("cpu")
    cpu, cuda = found["cpu"].scores.sort().values, found["cuda"].scores.sort().values
    assert len(cpu) == len(cuda)
    torch.testing.assert_close(cuda, cpu, rtol=0, atol=1e-3)


def test_postprocessing_of_a_gpus_candidates_copies_once():
    detector, batch = network_and_batch(KINDS["faster"], "cuda")
    candidates = detector.eval().candidates(batch, 0.0)
    expected = postprocess([image.to("cpu") for image in candidates], VOTING)
    for on_gpu, on_host in zip(postprocess(candidates, VOTING), expected, strict=True):
        assert on_gpu.boxes.is_cuda
        assert on_gpu.boxes.cpu().equal(on_host.boxes)
        assert on_gpu.scores.cpu().equal(on_host.scores)


@pytest.mark.parametrize(("stride", "size"), [(1, (19, 26)), (2, (20, 33))])
def test_a_depthwise_convolution_is_the_cpus_and_leaves_cudnn_out(stride, size):
    """cuDNN would prepare itself anew for every size of image."""
    torch.manual_seed(0)
    inputs, weight, bias = torch.randn(2, 32, *size), torch.randn(32, 1, 3, 3), torch.randn(32)
    results = {}
    for device in ("cpu", "cuda"):
        given = [tensor.to(device, copy=True).requires_grad_() for tensor in (inputs, weight, bias)]
        maps, kernel = (t.contiguous(memory_format=torch.channels_last) for t in given[:2])
        with torch.profiler.profile() as profile:
            outputs = depthwise(maps, kernel, given[2], stride=(stride, stride), padding=(1, 1))
            outputs.square().sum().backward()
        assert not [event.key for event in profile.key_averages() if "cudnn" in event.key]
        assert outputs.is_contiguous(memory_format=torch.channels_last)
        results[device] = [tensor.cpu() for tensor in (outputs.detach(), *(t.grad for t in given))]
    torch.testing.assert_close(results["cuda"], results["cpu"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("amp", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_gives_finite_losses_near_those_of_float32(kind, amp):
    detector, batch = network_and_batch(KINDS[kind], "cuda")
    exact = detector.losses(batch)
    with torch.autocast("cuda", dtype=amp):
        mixed = detector.losses(batch)
    weighted_sum(mixed, 1.0).backward()
    for name, loss in mixed.items():
        assert loss.isfinite()
        assert loss.dtype == torch.float32
        assert abs(float(loss - exact[name])) < 0.3 + 0.3 * abs(float(exact[name])), name
