"""Gradients of several processes, beside those of one process with all images."""

import multiprocessing

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn
from torch.multiprocessing import start_processes

from mmvmlp.backbones import HireMLP, MLPMixer

IMAGES = 4
# LayerNorm is the same in training and evaluation; batch norms are not.
CASES = {
    'layer norm': (MLPMixer, True),
    'batch norm with running statistics': (HireMLP, False),
    'batch norm with statistics of the batch': (HireMLP, True),
}


def gradients(case, dtype, rank=0, ranks=1):
    """Return the gradients of the mean loss of a rank's images, averaged over ranks by DDP."""
    family, training = CASES[case]
    torch.manual_seed(0)
    model = family(arch=dict(family.small_arch), out_indices=(-1,)).to(dtype).train(training)
    images = torch.randn(IMAGES, 3, 64, 64, dtype=dtype)
    if ranks > 1:
        # As mmengine's runner wraps it.
        wrapped = MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False)
    else:
        wrapped = model
    (features,) = wrapped(images.chunk(ranks)[rank])
    weights = torch.randn(features.shape[1:], generator=torch.Generator().manual_seed(1))
    (features * weights).sum((1, 2, 3)).square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def run_rank(rank, ranks, folder):
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f'{folder}/store', ranks)
    torch.distributed.init_process_group('gloo', store=store, rank=rank, world_size=ranks)
    found = {
        (case, dtype): gradients(case, dtype, rank, ranks)
        for case in CASES
        for dtype in (torch.float32, torch.float64)
    }
    # Why `mmvmlp.config.launcher` replaces it on the CPU.
    with pytest.raises(ValueError, match='expected input tensor to be on GPU'):
        nn.SyncBatchNorm(2)(torch.ones(1, 2, 2, 2))
    if rank == 0:
        torch.save(found, f'{folder}/gradients.pth')
    torch.distributed.destroy_process_group()


# Forked from a process that has imported what takes long.
multiprocessing.set_forkserver_preload(['mmengine.model', 'mmvmlp.backbones'])


def relative_difference(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize('ranks', [2, pytest.param(4, marks=pytest.mark.slow)])
def test_gradients_equal_those_of_one_process_with_all_images(tmp_path, ranks):
    start_processes(run_rank, (ranks, str(tmp_path)), nprocs=ranks, start_method='forkserver')
    found = torch.load(tmp_path / 'gradients.pth')
    for (case, dtype), theirs in found.items():
        ours = gradients(case, dtype)
        assert theirs.keys() == ours.keys()
        both = [nn.utils.parameters_to_vector(kind.values()) for kind in (theirs, ours)]
        if 'of the batch' in case:
            # Each rank has a batch of its own, as docs/machines.md says.
            assert relative_difference(*both) > 0.1
        elif dtype is torch.float32:
            assert relative_difference(*both) < 1e-6, case
        else:
            # Single tensors with tiny gradients, too.
            for name, gradient in ours.items():
                assert relative_difference(theirs[name], gradient) < 1e-12, (case, name)
