"""Run the benchmarks of docs/benchmarks.md, into docs/benchmarks/; they take a quarter of an hour.

Run as ``python -m development.benchmark_runs [NAME ...]`` on a machine without other load, then
``python -m development.benchmark_page``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmvmlp.analysis.machine import KEEPS_MEMORY

ROOT = Path(__file__).resolve().parents[1]
FOLDER = 'docs/benchmarks'
SIDES = (224, 320, 480, 640, 960, 1280)


@dataclass(frozen=True)
class Run:
    """A benchmark of the page.

    Attributes:
        arguments: Of ``mmvmlp benchmark``, without ``--out``.
        environment: Variables of the allocator.
    """

    arguments: str
    environment: Mapping[str, str] = field(default_factory=dict)


HIRE, HIRE_REFERENCE = 'hire_mlp_small', 'tests/reference/networks.py:hire_mlp_small'
LARGE = '--shape 800 1216 --repetitions 4'


def _against_reference(reference: str, ours: str) -> str:
    return f'{reference} --against {ours} {ours}+fuse'


def _also_compiled(reference: str, ours: str) -> str:
    return f'{_against_reference(reference, ours)} {ours}+fuse+compile'


_NEIGHBOURS = (
    'hire_mlp_small+fuse --against smlpnet_tiny+fuse resmlp_s24+fuse timm:convnext_tiny '
    'timm:swin_tiny_patch4_window7_224 timm:poolformer_s24 timm:resnet50'
)
_NEIGHBOURS_COMPILED = (
    'hire_mlp_small+fuse+compile timm:convnext_tiny+compile '
    'timm:swin_tiny_patch4_window7_224+compile timm:resnet50+compile'
)

RUNS = {
    'hire_224_b8': Run(
        f'{_also_compiled(HIRE_REFERENCE, HIRE)} {HIRE_REFERENCE}+bfloat16 '
        f'{HIRE}+fuse+bfloat16 {HIRE}+fuse+compile+bfloat16 '
        '--batch 8 --repetitions 8'
    ),
    'hire_224_b1': Run(f'{_also_compiled(HIRE_REFERENCE, HIRE)} --repetitions 12'),
    'hire_800_b1': Run(f'{_also_compiled(HIRE_REFERENCE, HIRE)} {LARGE}'),
    'hire_800_b1_kept': Run(
        f'{_against_reference(HIRE_REFERENCE, HIRE)} {LARGE}', environment=KEEPS_MEMORY
    ),
    **{
        f'{ours}_224_b8': Run(
            f'{_against_reference(f"tests/reference/networks.py:{ours}", ours)} '
            '--batch 8 --repetitions 5'
        )
        for ours in ('smlpnet_tiny', 's2_mlp_deep')
    },
    **{
        f'{ours}_224_b8': Run(
            f'{_also_compiled(timm, ours)} {timm}+compile --batch 8 --repetitions 5'
        )
        for ours, timm in (
            ('resmlp_s12', 'timm:resmlp_12_224'),
            ('mlp_mixer_b16', 'timm:mixer_b16_224'),
        )
    },
    'neighbours_224_b8': Run(f'{_NEIGHBOURS} {_NEIGHBOURS_COMPILED} --batch 8 --repetitions 6'),
    'neighbours_224_b1': Run(f'{_NEIGHBOURS} {_NEIGHBOURS_COMPILED} --repetitions 12'),
    'runtimes_224_b8': Run(
        f'{HIRE} --against {HIRE}+fuse {HIRE}+onnxruntime {HIRE}+openvino {HIRE}+openvino+bfloat16 '
        f'{HIRE}+openvino+int8 --batch 8 --repetitions 8'
    ),
    'training_224_b8': Run(
        f'{HIRE_REFERENCE} --against {HIRE} {HIRE}+with_cp=True --train --batch 8 --repetitions 5'
    ),
    **{
        f'pixels_{side}': Run(
            'hire_mlp_tiny --against s2_mlp_deep smlpnet_tiny smlpnet_tiny+resolution=window '
            'resmlp_s12 resmlp_s12+resolution=window mlp_mixer_s16 mlp_mixer_s16+resolution=window '
            f'--shape {side} {side} --repetitions 3'
        )
        for side in SIDES
    },
}
"""The benchmarks by the name of their folder."""


def command_of(name: str) -> str:
    """Return the command of a benchmark, as its record has it."""
    return f'mmvmlp benchmark {RUNS[name].arguments} --out {FOLDER}/{name}'


def main() -> None:
    """Run some or all of the benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(RUNS)}')
    names = parser.parse_args().names
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        parser.error(f'{unknown[0]!r}: {", ".join(RUNS)} are accepted')
    for name in names or RUNS:
        command = [sys.executable, '-m', *shlex.split(command_of(name))]
        environment = {**os.environ, **RUNS[name].environment}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == '__main__':
    main()
