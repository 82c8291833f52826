"""Measure fixed-size networks at other image sizes, and write the tables of docs/resolution.md."""

import argparse
from collections.abc import Callable
from pathlib import Path

from mmvmlp.cli.errors import one_clear_error
from projects.resolution_study import detection
from projects.resolution_study.classification import NETWORKS, SIZES, TrainingOptions, classify
from projects.resolution_study.detection import detect
from projects.resolution_study.finetuning import FINE_TUNED, FineTuningOptions, fine_tune
from projects.resolution_study.report import write_report

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], None], text: str, out: str = ''
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=text,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        added.set_defaults(run=run)
        if out:
            path = Path('work_dirs/resolution', out)
            added.add_argument(
                '--out', type=Path, default=path, metavar='FILE', help='JSON file to extend'
            )
            added.add_argument(
                '--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='N', help='one run each'
            )
        return added

    added = command(
        'classify',
        run_classify,
        'train classifiers at one image size, and test them at several',
        'classification.json',
    )
    added.add_argument(
        '--networks', nargs='+', default=list(NETWORKS), metavar='NAME', help='networks to train'
    )
    added.add_argument(
        '--sizes', type=int, nargs='+', default=list(SIZES), metavar='PIXELS', help='test sizes'
    )
    add_data_options(added, TrainingOptions(), Path('data/digit_classes_128'))
    added.add_argument(
        '--jobs', type=int, default=1, metavar='N', help='number of parallel trainings'
    )

    added = command(
        'fine-tune',
        run_fine_tune,
        'fine-tune classifiers at a larger size, with token mixing resized or resampled',
        'finetuning.json',
    )
    added.add_argument(
        '--networks', nargs='+', default=list(FINE_TUNED), metavar='NAME', help='networks to train'
    )
    add_data_options(added, FineTuningOptions(), Path('data/digit_classes_fine_tuning'))

    added = command(
        'detect',
        run_detect,
        f'train the detectors of {detection.CONFIGS}, and test them at several sizes',
        'detection.json',
    )
    added.add_argument(
        '--sizes',
        type=int,
        nargs='+',
        default=list(detection.SIZES),
        metavar='PIXELS',
        help='test sizes',
    )
    added.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings to override in all configs, for training and testing',
    )

    added.add_argument(
        '--jobs', type=int, default=1, metavar='N', help='number of detectors in parallel'
    )

    added = command('report', run_report, 'write the tables and plots from the records')
    added.add_argument(
        '--data', type=Path, default=PROJECT / 'data', metavar='DIR', help='folder of the records'
    )
    added.add_argument(
        '--document',
        type=Path,
        default=ROOT / 'docs/resolution.md',
        metavar='FILE',
        help='document with the tables',
    )
    added.add_argument(
        '--images',
        type=Path,
        default=ROOT / 'docs/images',
        metavar='DIR',
        help='folder of the plots',
    )
    return parser.parse_args()


def add_data_options(
    parser: argparse.ArgumentParser, defaults: TrainingOptions, data: Path
) -> None:
    """Add the options of images and trainings."""
    parser.add_argument(
        '--data',
        type=Path,
        default=data,
        metavar='DIR',
        help='folder of the images; generated if missing',
    )
    for name, text in (
        ('train', 'training images'),
        ('val', 'validation images'),
        ('epochs', 'epochs of each training'),
    ):
        parser.add_argument(
            f'--{name}', type=int, default=getattr(defaults, name), metavar='N', help=text
        )


def run_classify(arguments: argparse.Namespace) -> None:
    """Train and test classifiers."""
    classify(
        arguments.out,
        arguments.data,
        seeds=arguments.seeds,
        networks=arguments.networks,
        sizes=arguments.sizes,
        options=TrainingOptions(arguments.train, arguments.val, arguments.epochs),
        jobs=arguments.jobs,
    )
    print(f'The records are in {arguments.out}')


def run_fine_tune(arguments: argparse.Namespace) -> None:
    """Train classifiers, and fine-tune them at a larger size."""
    fine_tune(
        arguments.out,
        arguments.data,
        seeds=arguments.seeds,
        networks=arguments.networks,
        options=FineTuningOptions(arguments.train, arguments.val, arguments.epochs),
    )
    print(f'The records are in {arguments.out}')


def run_detect(arguments: argparse.Namespace) -> None:
    """Train and test detectors."""
    out = arguments.out.resolve()
    detect(
        ROOT,
        out,
        seeds=arguments.seeds,
        sizes=arguments.sizes,
        config_options=arguments.cfg_options,
        jobs=arguments.jobs,
    )
    print(f'The records are in {out}')


def run_report(arguments: argparse.Namespace) -> None:
    """Write tables and plots."""
    write_report(arguments.data, arguments.document, arguments.images)
    print(f'The tables are in {arguments.document}, the plots in {arguments.images}')


def main() -> None:
    """Run a part of the study."""
    arguments = parse_arguments()
    with one_clear_error('projects', 'development'):
        arguments.run(arguments)


if __name__ == '__main__':
    main()
