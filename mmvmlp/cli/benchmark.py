"""Time networks, whole models and training steps in turns, and compare their speed and memory.

A contestant is a backbone, timm:NAME (without its classifier), a config of mmdet, mmsegmentation or
mmpretrain, or FILE.py:FUNCTION, a function without arguments that returns a torch.nn.Module. Modes
follow after plus signs: hire_mlp_small+fuse+compile, timm:resnet50+bfloat16,
resmlp_s12+resolution=window. All have random weights and get random images.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mmvmlp.analysis.contestants import DTYPES, RUNTIMES, Mode
from mmvmlp.analysis.machine import allocator_advice, machine_facts
from mmvmlp.analysis.speed import run_benchmark
from mmvmlp.analysis.speed_records import benchmark_record, benchmark_table, write_benchmark
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.output_files import check_folder_can_be_written


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='--dtype, --runtime, --compile, --fuse, --channels-last and --train are the modes '
        'of all\ncontestants whose names do not say otherwise.',
    )
    parser.add_argument('name', metavar='CONTESTANT', help='ratios are to this one')
    parser.add_argument(
        '--against',
        nargs='+',
        default=[],
        metavar='CONTESTANT',
        help='others, timed in turns with it',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=[224, 224],
        metavar=('HEIGHT', 'WIDTH'),
        help='image size in pixels (default: 224 224)',
    )
    parser.add_argument(
        '--batch', type=int, default=1, metavar='N', help='images of a call (default: 1)'
    )
    parser.add_argument(
        '--dtype',
        choices=DTYPES,
        default='float32',
        help='bfloat16 and float16 by autocast (default: float32)',
    )
    parser.add_argument(
        '--runtime',
        choices=RUNTIMES,
        default='torch',
        help='onnxruntime and openvino run an ONNX export (default: torch)',
    )
    parser.add_argument('--compile', action='store_true', help='torch.compile, for this shape')
    parser.add_argument('--fuse', action='store_true', help="mmvmlp's exact inference form")
    parser.add_argument('--channels-last', action='store_true', help='channels-last memory format')
    parser.add_argument(
        '--train', action='store_true', help='a training step: forward, sum of squares, backward'
    )
    parser.add_argument('--device', default='cpu', help='cpu, cuda, or cuda:N (default: cpu)')
    parser.add_argument('--threads', type=int, metavar='N', help="default: torch's")
    parser.add_argument(
        '--repetitions', type=int, default=20, metavar='N', help='rounds (default: 20)'
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='write benchmark.json and benchmark.csv here'
    )
    return parser.parse_args()


def main() -> int:
    """Time contestants, print a table, and write the records."""
    arguments = parse_arguments()
    with one_clear_error():
        if arguments.out is not None:
            check_folder_can_be_written(arguments.out, '--out')
        mode = Mode(
            dtype=arguments.dtype,
            runtime=arguments.runtime,
            fuse=arguments.fuse,
            compile=arguments.compile,
            channels_last=arguments.channels_last,
            train=arguments.train,
        )
        height, width = arguments.shape
        benchmark = run_benchmark(
            [arguments.name, *arguments.against],
            (height, width),
            arguments.batch,
            mode=mode,
            device=arguments.device,
            threads=arguments.threads,
            repetitions=arguments.repetitions,
            report=lambda line: print(f'... {line}', file=sys.stderr, flush=True),
        )
        facts = machine_facts(arguments.device)
        command = shlex.join(['mmvmlp', 'benchmark', *sys.argv[1:]])
        record = benchmark_record(benchmark, facts, command)
        print(
            f'{arguments.batch} x {height}x{width} on {facts["device"]}, {facts["threads"]} '
            f'threads, {facts["allocator"]}, medians of {arguments.repetitions} rounds\n'
        )
        print(benchmark_table(record))
        rates = benchmark.matrix_rates.items()
        print(
            '\nmatrix rate: '
            + ', '.join(f'{rate / 1e9:.0f} GFLOP/s in {dtype}' for dtype, rate in rates)
        )
        if advice := allocator_advice(facts):
            print(f'\n{advice}')
        if arguments.out is not None:
            write_benchmark(record, arguments.out)
            print(f'\nbenchmark.json and benchmark.csv are in {arguments.out}')
    return 0
