"""Run torchrun, and print the error that ends a run as one message."""

import logging
import os
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run


def main() -> int:
    """Run torchrun; return the exit status."""
    # Silence torchrun's own report; the first failure is printed below.
    logging.getLogger('torch.distributed.elastic.multiprocessing.api').setLevel(logging.CRITICAL)
    arguments = parse_args(None)  # type: ignore[no-untyped-call]
    if arguments.standalone or arguments.rdzv_backend != 'static':
        # Processes that start again would read addresses of those that were killed:
        # github.com/pytorch/pytorch/issues/135712.
        os.environ.setdefault('TORCH_DISABLE_SHARE_RDZV_TCP_STORE', '1')
    try:
        run(arguments)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if 'timestamp' in failure.error_file_data:
            # A process may be terminated after it has written its message, before it has exited.
            message, status = failure.message, max(failure.exitcode, 1)
        elif failure.exitcode < 0:
            message = f'error: the process of rank {rank} was killed by {failure.signal_name()}'
            status = 128 - failure.exitcode
        else:
            status = failure.exitcode
            message = (
                f'error: the process of rank {rank} exited with status {status}; its output is '
                'above'
            )
        print(message, file=sys.stderr)
        return status
    return 0
