"""Show a trained model in the browser: predictions, feature pyramid, receptive fields.

Without a model, it shows the small detector of digits that comes with this package. Config and
checkpoint are chosen here; the page opens no file but what is dropped into it.
"""

import argparse
import signal
import threading
from pathlib import Path

import mmvmlp
from mmvmlp.cli.arguments import add_config_options, add_device_option, add_trust_option, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.cli.short_log import without_false_warnings
from mmvmlp.config.loading import load_config
from mmvmlp.inference.predictors import make_predictor
from mmvmlp.optional_packages import import_optional

CONFIG = 'mmvmlp::mask_rcnn_hire_mlp_nano_digits.py'
CHECKPOINT = (
    Path(mmvmlp.__file__).parent / '.mim/demo' / 'mask_rcnn_hire_mlp_nano_digits.safetensors'
)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', help='config file of the model')
    parser.add_argument(
        '--checkpoint',
        metavar='FILE',
        help='checkpoint of a whole trained model, or the name of a published one',
    )
    parser.add_argument(
        '--score-threshold',
        type=float,
        default=0.5,
        metavar='SCORE',
        help='what the slider of a detector begins with, from 0 to 1 (default: 0.5)',
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at (default: 127.0.0.1, for this machine only)',
    )
    parser.add_argument(
        '--port', type=int, help='port to listen at (default: the first free one from 7860)'
    )
    add_device_option(parser)
    add_trust_option(parser)
    add_config_options(parser)
    arguments = parser.parse_args()
    if (arguments.config is None) != (arguments.checkpoint is None):
        parser.error('--config and --checkpoint belong together')
    return arguments


def main() -> int:
    """Serve the app until it is interrupted."""
    arguments = parse_arguments()
    with one_clear_error(), without_false_warnings():
        served = import_optional('mmvmlp.app.page', 'app').served
        checkpoint = arguments.checkpoint or CHECKPOINT
        config = load_config(arguments.config or CONFIG, arguments.cfg_options)
        with trusting(arguments, [checkpoint]):
            predictor = make_predictor(
                config, checkpoint, arguments.device, arguments.score_threshold
            )
        title = Path(checkpoint).stem
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        with served(predictor, title, arguments.host, arguments.port) as address:
            print(f'{title} is shown at {address}\nCtrl+C ends the app.', flush=True)
            ended.wait()
    return 0
