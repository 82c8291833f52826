"""Networks in which no parameter or statistic has a value that hides an error."""

import torch
from torch import nn


@torch.no_grad()
def randomised(network: nn.Module) -> nn.Module:
    """Change all parameters and statistics of a network at random, and return it."""
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.05)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network
