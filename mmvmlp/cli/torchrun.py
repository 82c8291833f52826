"""Do what torchrun does, and show the error that ends a run as one message."""

import logging
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run


def main() -> int:
    """Launch; returns the exit status."""
    # torchrun's own account of processes that fail, of which the first is told of below.
    logging.getLogger('torch.distributed.elastic.multiprocessing.api').setLevel(logging.CRITICAL)
    try:
        run(parse_args(None))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if 'timestamp' in failure.error_file_data:
            message, status = failure.message, failure.exitcode
        elif failure.exitcode < 0:
            message = f'error: the process of rank {rank} was ended by {failure.signal_name()}'
            status = 128 - failure.exitcode
        else:
            status = failure.exitcode
            message = (
                f'error: the process of rank {rank} ended with exit status {status}; what it '
                'printed is above'
            )
        print(message, file=sys.stderr)
        return status
    return 0
