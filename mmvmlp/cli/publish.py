"""Write a trained model as a folder for the Hugging Face Hub.

It holds the weights alone, as safetensors with the first digits of their SHA-256 in the name, the
config, and a model card.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from mmvmlp.cli.arguments import add_config_options, add_trust_option, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config
from mmvmlp.hub.model_card import Provenance
from mmvmlp.hub.publishing import publish_checkpoint


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='mmvmlp.from_pretrained(FOLDER) loads it, mmvmlp.push_to_hub(FOLDER, "OWNER/NAME") '
        'uploads it.',
    )
    parser.add_argument('checkpoint', help='checkpoint of a whole trained model')
    parser.add_argument('out_dir', type=Path, help='folder to create')
    parser.add_argument('--config', required=True, help='config file of the model')
    parser.add_argument('--name', help="name of the model (default: the config's)")
    parser.add_argument(
        '--license',
        default='unknown',
        metavar='ID',
        help='licence of the weights, as the hub writes it, such as apache-2.0 (default: unknown)',
    )
    parser.add_argument(
        '--dataset', metavar='NAME', help='data on which the model was trained and tested'
    )
    parser.add_argument(
        '--metrics',
        type=Path,
        metavar='FILE',
        help='results on the test data, from `mmvmlp test --out FILE`',
    )
    parser.add_argument(
        '--use-ema', action='store_true', help='publish the moving average of the weights'
    )
    add_trust_option(parser)
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Publish."""
    arguments = parse_arguments()
    with one_clear_error(), trusting(arguments, [arguments.checkpoint]):
        metrics = None if arguments.metrics is None else _read_metrics(arguments.metrics)
        file = publish_checkpoint(
            load_config(arguments.config, arguments.cfg_options),
            arguments.checkpoint,
            arguments.out_dir,
            name=arguments.name or Path(arguments.config.rpartition('::')[2]).stem,
            about=Provenance(arguments.license, arguments.dataset, metrics),
            use_ema=arguments.use_ema,
        )
    print(f'{file.name}, config.py and README.md are in {arguments.out_dir}')
    return 0


def _read_metrics(file: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'--metrics {str(file)!r} does not exist') from error
    except ValueError as error:
        raise ValueError(f'--metrics {str(file)!r} is not JSON: {error}') from error
    if not isinstance(metrics, dict):
        raise ValueError(f'--metrics {str(file)!r}: an object of results by name is accepted')
    return metrics
