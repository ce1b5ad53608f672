"""The box head: fc6, fc7 and the last layers, shape by shape."""

import pytest
import torch

from models.heads import BoxPredictor, TwoMLPHead


def test_two_layers_with_relu():
    torch.manual_seed(0)
    head = TwoMLPHead(in_features=2 * 9, fc_dims=(5, 7), dropout=0.0)
    pooled = torch.randn(4, 2, 3, 3)
    hidden = (pooled.flatten(1) @ head.fc6.weight.T + head.fc6.bias).clamp(min=0)
    torch.testing.assert_close(
        head(pooled), (hidden @ head.fc7.weight.T + head.fc7.bias).clamp(min=0)
    )
    assert head.out_features == 7
    assert head(pooled[:0]).shape == (0, 7)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    head = TwoMLPHead(in_features=18, fc_dims=(64, 64), dropout=0.5)
    pooled = torch.randn(4, 2, 3, 3)
    generators = [torch.Generator().manual_seed(image) for image in range(2)]
    assert not torch.equal(head(pooled, generators), head(pooled, generators))
    with pytest.raises(ValueError, match="generators of the images"):
        head(pooled)
    head.eval()
    assert torch.equal(head(pooled), head(pooled, generators))


@pytest.mark.parametrize("rows", [3, 0])
@pytest.mark.parametrize("log_variance", [False, True])
def test_shapes_of_the_predictor(rows, log_variance):
    logits, offsets, variance = BoxPredictor(
        in_features=6, num_classes=5, log_variance=log_variance
    )(torch.randn(rows, 6))
    assert logits.shape == (rows, 6)
    assert offsets.shape == (rows, 6, 4)
    assert (variance is not None) == log_variance
    assert variance is None or variance.shape == (rows, 6, 4)


def test_offsets_and_variances_of_a_class_are_neighbors():
    """Output 4 k + j of the layer is coordinate j of class k, for both."""
    predictor = BoxPredictor(in_features=6, num_classes=2, log_variance=True)
    for layer in (predictor.offsets, predictor.log_variance):
        torch.nn.init.zeros_(layer.weight)
        layer.bias.data = torch.arange(12.0)
    _, offsets, log_variance = predictor(torch.zeros(1, 6))
    assert (
        offsets[0].tolist()
        == log_variance[0].tolist()
        == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    )


def test_the_variance_layer_reads_what_the_box_layer_reads_and_teaches_it():
    """KL Loss section 3.2: the layer sits "on top of fc7", and its gradient goes on into the shared
    features."""
    features = torch.randn(5, 7, requires_grad=True)
    predictor = BoxPredictor(in_features=7, num_classes=2, log_variance=True)
    _, offsets, log_variance = predictor(features)
    for output, layer in ((offsets, predictor.offsets), (log_variance, predictor.log_variance)):
        (gradient,) = torch.autograd.grad(output.sum(), features)
        torch.testing.assert_close(gradient, layer.weight.sum(0).expand(5, 7))
