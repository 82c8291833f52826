"""Verify a checkpoint file: its hash, what it holds, and whether it covers a config's model.

The exit status is 1 if anything is wrong.
"""

import argparse

from mmengine.registry import MODELS, init_default_scope

from mmvmlp.checkpoints.verification import Verification, verify_checkpoint
from mmvmlp.cli.arguments import add_config_options, add_trust_option, trusting
from mmvmlp.cli.errors import one_clear_error
from mmvmlp.config.loading import load_config


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='a file, or the name of published weights')
    parser.add_argument('--config', help='config file of a model that the checkpoint should cover')
    parser.add_argument(
        '--sha256',
        metavar='HASH',
        help='expected SHA-256, or its first digits, at least 8; those in the name of the file or '
        'in FILE.sha256 are compared in any case',
    )
    add_trust_option(parser)
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Verify."""
    arguments = parse_arguments()
    with one_clear_error(), trusting(arguments, [arguments.checkpoint]):
        model = None
        if arguments.config is not None:
            config = load_config(arguments.config, arguments.cfg_options)
            init_default_scope(config.get('default_scope') or 'mmengine')
            model = MODELS.build(config.model)
        elif arguments.cfg_options:
            raise ValueError('--cfg-options: --config is missing')
        verified = verify_checkpoint(arguments.checkpoint, model, arguments.sha256)
    _print(verified)
    return 1 if verified.problems else 0


def _print(verified: Verification) -> None:
    known = ', as in ' + ' and '.join(verified.hash_sources) if verified.hash_sources else ''
    print(f'file      {verified.file}')
    print(f'SHA-256   {verified.sha256}{"" if verified.problems else known}')
    if verified.tensors:
        print(f'contents  {verified.tensors} tensors, {verified.parameters:,} values, all finite')
        print(f'network   {verified.network or "no published architecture"}')
    if verified.report is not None:
        print(f'coverage  {verified.report}')
    for problem in verified.problems:
        print(f'wrong: {problem}')
    if not verified.problems:
        print('nothing wrong was found')
