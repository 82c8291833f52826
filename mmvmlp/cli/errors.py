"""Error messages of the commands."""

import errno
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmvmlp.checkpoints import CheckpointError
from mmvmlp.datasets.loading import ImageReadError
from mmvmlp.datasets.object_store import ObjectStoreError

EXPECTED_ERRORS = (
    *(ValueError, TypeError, OSError, ImportError, AssertionError),
    FloatingPointError,
)

# Code that reads data: the toolboxes' data sets, samplers and transforms.
READS_DATA = re.compile(
    r'/(?:(?:mmdet|mmseg|mmpretrain)/datasets|mmengine/dataset|mmcv/transforms|pycocotools)/'
)

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def one_clear_error(*packages: str) -> Iterator[None]:
    """Print errors raised by this package as one message without a traceback, and exit with 1.

    So are errors that the toolboxes raise where they read data. Distributed processes pass the
    message to torchrun, which shows the first one. Errors from elsewhere keep their traceback.

    Args:
        packages: Further packages whose errors are printed this way.
    """
    try:
        yield
    except Exception as error:
        message = _message(error, ('mmvmlp', *packages)) or _message_about_data(error)
        if message is None:
            raise
        sys.stdout.flush()
        if torchrun := os.environ.get('TORCHELASTIC_ERROR_FILE'):
            handed_over = {'message': f'error: {message}', 'timestamp': int(time.time())}
            Path(torchrun).write_text(json.dumps(handed_over))
        else:
            print(f'error: {message}', file=sys.stderr)
        raise SystemExit(1) from None


def _message_about_data(error: Exception) -> str | None:
    # The message of an error in a data loader worker ends with its whole traceback.
    text = ''.join(traceback.format_exception(error)).strip()
    files = [file for file in re.findall(r'File "([^"]+)"', text) if '/json/' not in file]
    if not files or not READS_DATA.search(files[-1]):
        return None
    return (
        f'the data cannot be read ({text.splitlines()[-1]}); `mmvmlp check-config` with this '
        'config and these data looks for the cause'
    )


def _is_about_data(error: Exception) -> bool:
    """Tell whether a data set's pipeline raised an error, in this process or in a worker."""
    return bool(READS_DATA.search(''.join(traceback.format_exception(error))))


def _message(error: Exception, packages: tuple[str, ...]) -> str | None:
    if not isinstance(error, EXPECTED_ERRORS):
        return None
    # mmcv's message for a file that is not an image, after the traceback of a data loader worker.
    if undecoded := re.findall(
        r'^(?:AssertionError: )?failed to load image: (.+)', str(error), re.M
    ):
        return f'image {undecoded[-1]!r} is not an image, or is damaged'
    if isinstance(error, (ImageReadError, CheckpointError, ObjectStoreError)):
        # A data loader worker passes its whole traceback as the message.
        text = str(error).rpartition(f'{type(error).__name__}: ')[2].strip()
        if isinstance(error, ImageReadError) and _is_about_data(error):
            text += '; `mmvmlp check-config` with `--all-images` finds every such image'
        return text
    if 'Expected more than 1 value per channel when training' in str(error):
        return (
            'batch norm has no statistics of one image on a map of one position: larger images, '
            'more than one image in a batch, or norm_eval=True are accepted'
        )
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        # Logs and results are written by mmengine and the toolboxes.
        where = f' for {error.filename!r}' if error.filename else ''
        return f'no space left{where} ({error.strerror}); make room, then repeat the command'
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return None
    module = innermost.tb_frame.f_globals.get('__name__', '')
    return str(error) if module.partition('.')[0] in packages else None
