"""Rules for torch, torchvision and the GPU."""

from __future__ import annotations

from collections.abc import Iterator

from mmvmlp.doctor.facts import Facts
from mmvmlp.doctor.packages import (
    OLDEST_TORCH,
    PINNED,
    build,
    compile_mmcv,
    matching_torch_pair,
    release,
)
from mmvmlp.doctor.rules.finding import Finding, reported_elsewhere


def rule_torch(facts: Facts) -> Iterator[Finding]:
    """Find a torch that is missing, too old or broken."""
    probe = facts.probe('torch')
    both = f'pip install {matching_torch_pair(PINNED["torch"])}'
    if probe.missing:
        yield Finding(True, 'torch is not installed.', both)
    elif probe.error:
        yield Finding(
            True,
            f'torch {probe.version or ""} does not load: {probe.error}',
            f'pip uninstall -y torch torchvision && {both}',
        )
    elif release(probe.version)[:2] < OLDEST_TORCH:
        yield Finding(
            True,
            f'torch {probe.version} is too old: crafted checkpoints can run code in it or corrupt '
            'its memory, also with weights_only=True (CVE-2025-32434, CVE-2026-24747). '
            f'{".".join(map(str, OLDEST_TORCH))} is the oldest supported. Afterwards mmcv must be '
            'compiled again: run the doctor once more.',
            both,
        )


def rule_torchvision(facts: Facts) -> Iterator[Finding]:
    """Find a torchvision that is missing, or was not compiled for this torch."""
    torch, vision = facts.probe('torch'), facts.probe('torchvision')
    if torch.missing or torch.error:
        return
    fix = f'pip install {matching_torch_pair(torch.version)}'
    if vision.missing:
        yield Finding(True, 'torchvision is not installed.', fix)
        return
    builds = build(torch.version), build(vision.version)
    minor = release(torch.version)[1:2], release(vision.version)[1:2]
    if all(builds) and builds[0] != builds[1]:
        reason = 'They are different builds: both must come from one index.'
    elif all(minor) and release(torch.version)[0] == 2 and minor[0][0] + 15 != minor[1][0]:
        reason = f'torch 2.{minor[0][0]} goes with torchvision 0.{minor[0][0] + 15}.'
    elif vision.error and 'operator torchvision::' in vision.error:
        reason = 'They are different builds: both must come from one index.'
    elif vision.error and not reported_elsewhere(facts, 'torchvision'):
        reason = 'torchvision does not work.'
    else:
        return
    error = f' ({vision.error})' if vision.error else ''
    yield Finding(
        blocks=vision.error is not None,
        problem=f'torch {torch.version} alongside torchvision {vision.version}: {reason}{error}',
        fix=fix,
    )


def rule_gpu(facts: Facts) -> Iterator[Finding]:
    """Find a GPU that the machine has and torch does not use."""
    probe = facts.probe('torch')
    if probe.missing or probe.error:
        return
    if gpu_error := probe.details.get('gpu_error'):
        yield Finding(
            True,
            f'torch sees a GPU and cannot compute on it: {gpu_error}. Either this torch is not '
            'built for a GPU of that age, or another process holds it.',
            'nvidia-smi; export CUDA_VISIBLE_DEVICES=   # to train on the CPU',
        )
    elif facts.nvidia_driver and not probe.details.get('gpus'):
        if probe.details.get('cuda'):
            yield Finding(
                False,
                f'There is an NVIDIA driver, but torch, which is built for CUDA '
                f'{probe.details["cuda"]}, sees no GPU: the driver may be too old for it, or the '
                'container may have been started without the GPU.',
                "nvidia-smi   # 'CUDA Version' must not be below torch's",
            )
        else:
            yield Finding(
                False,
                f'There is an NVIDIA driver, but torch {probe.version} is built for the CPU only. '
                'After the change mmcv must be compiled again.',
                f'pip install {matching_torch_pair(probe.version)} && '
                f'{compile_mmcv(facts.distributions)}',
            )
