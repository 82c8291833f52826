"""Image loading that notices damaged files and says which."""

from typing import Any

import mmcv
import mmcv.transforms
import numpy as np
from mmengine import fileio

from mmvmlp.registry import TRANSFORMS

END_MARKERS = {b'\xff\xd8\xff': b'\xff\xd9', b'\x89PNG': b'IEND'}
"""What a whole JPEG or PNG file ends with, by what it begins with."""

TAIL_BYTES = 4096
"""The end marker is looked for in so many last bytes, for some writers append a few."""


class ImageReadError(OSError):
    """An image file that is missing, empty, truncated or no image."""


@TRANSFORMS.register_module()
class LoadImageFromFile(mmcv.transforms.LoadImageFromFile):
    """The transform of the same name in mmcv, but truncated files are refused.

    OpenCV decodes what there is of a truncated file and leaves the rest grey, so that training on
    a damaged data set goes on without a word. Arguments and results are mmcv's.

    Raises:
        ImageReadError: With the path, if the file cannot be read or is not a whole image.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Read ``results['img_path']`` into ``results['img']``, (H, W, 3) in BGR."""
        path = results['img_path']
        try:
            contents = fileio.get(path, backend_args=self.backend_args)
            image = mmcv.imfrombytes(contents, flag=self.color_type, backend=self.imdecode_backend)
        except Exception as error:
            if self.ignore_empty:
                return None
            # OpenCV and every file backend raise errors of their own, most without the path.
            raise ImageReadError(f'image {path!r} cannot be read: {error}') from error
        if image is None:
            raise ImageReadError(f'image {path!r} is not an image, or is damaged')
        for start, end in END_MARKERS.items():
            if contents.startswith(start) and end not in contents[-TAIL_BYTES:]:
                raise ImageReadError(f'image {path!r} is truncated')
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results
