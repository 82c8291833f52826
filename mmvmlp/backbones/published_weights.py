"""Published weights of a network: where the file is, and what it holds."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlparse

HUB = 'https://huggingface.co/'


@dataclass(frozen=True)
class PublishedWeights:
    """A file of published weights.

    Attributes:
        name: Name of network and weights, such as ``'hire_mlp_small.in1k'``; for a detector or
            segmentor, name of its config and weights, such as ``'mask_rcnn_conv_mlp_s.coco'``.
        address: URL of the file; None where it was never released, or is only linked from
            ``page``.
        format: Name of the file's :class:`~mmvmlp.backbones.official_format.OfficialFormat`; empty
            where there is no file.
        top1: Published top-1 accuracy on ImageNet-1k in percent, if there is one.
        page: Page of the publisher.
        licence: Licence of the publisher's repository, with what it says beside it.
        training_data: Data on which the weights were trained.
        distilled: True if a teacher was used.
        classes: Outputs of the classifier.
        reason: Why there is no address; empty where there is one.
        method: Method of the detector or segmentor that the file holds, such as ``'mask_rcnn'``;
            empty for a classifier.
        metrics: Published results of such a model by metric, in percent.
    """

    name: str
    address: str | None
    format: str
    top1: float | None
    page: str
    licence: str
    training_data: str = 'ImageNet-1k'
    distilled: bool = False
    classes: int = 1000
    reason: str = ''
    method: str = ''
    metrics: tuple[tuple[str, float], ...] = ()

    @property
    def model(self) -> str:
        """Name of the model: of the backbone, or of a detector's or segmentor's config."""
        return self.name.rpartition('.')[0]

    @property
    def network(self) -> str:
        """Name of the backbone."""
        return self.model.removeprefix(f'{self.method}_')

    @property
    def is_released(self) -> bool:
        """True if the file exists somewhere, with an address or behind a page."""
        return bool(self.format)

    @property
    def hub_repository(self) -> str | None:
        """Repository on the Hugging Face Hub, such as ``'timm/resmlp_12_224.fb_in1k'``, if any."""
        if self.address is None or not self.address.startswith(HUB):
            return None
        return '/'.join(self.address.removeprefix(HUB).split('/')[:2])

    @property
    def file_name(self) -> str:
        """Name of the file in a folder or on a mirror."""
        if self.address is None:
            return f'{self.name}.pth'
        path = PurePosixPath(urlparse(self.address).path)
        if self.hub_repository:
            # All files on the hub have the same name.
            return f'{self.hub_repository.partition("/")[2]}{path.suffix}'
        return path.name


def hub_file(repository: str) -> str:
    """Return the address of the weights in a repository on the Hugging Face Hub."""
    return f'{HUB}{repository}/resolve/main/model.safetensors'
