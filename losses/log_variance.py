"""A bound on predicted log variances, for KL Loss and KL-RPN alike; neither paper has one."""

from torch import Tensor


def bounded(log_variance: Tensor, limit: float) -> Tensor:
    """``log_variance`` within [-limit, limit]; beyond it the gradient is that of the bounded value.

    So exp() cannot overflow, and a log variance that has run away is still pulled back. clamp()
    alone would leave it where it is: beyond its limit the gradient is 0.

    Args:
        log_variance: ln sigma^2 of any shape.
        limit: the largest absolute value that a loss is given.

    Returns:
        The same shape. Law: the identity, value and gradient, within the limit.
    """
    return log_variance + (log_variance.clamp(-limit, limit) - log_variance).detach()
