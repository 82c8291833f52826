"""Model cards in the format of the Hugging Face Hub."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.config import Config
from torch import nn

from mmvmlp.backbones.base import find_backbone
from mmvmlp.optional_packages import import_optional

TASKS = {
    'mmdet': 'object-detection',
    'mmseg': 'image-segmentation',
    'mmpretrain': 'image-classification',
}
"""Tasks of the hub by the default scope of a config."""


@dataclass(frozen=True)
class Provenance:
    """Licence, data and results of a model, for its card.

    Attributes:
        license: Identifier of the licence on the hub, such as ``'apache-2.0'``; ``'unknown'`` if
            it was not given.
        dataset: Name of the data on which the model was trained and tested, if it was given.
        metrics: Results on the test data, as ``mmvmlp test --out`` writes them.
    """

    license: str = 'unknown'
    dataset: str | None = None
    metrics: Mapping[str, float] | None = None


def model_card(name: str, config: Config, model: nn.Module, weights: str, about: Provenance) -> str:
    """Return the text of a model card, metadata included.

    Args:
        name: Name of the model.
        config: Its config.
        model: The model.
        weights: Name of the file of its weights.
        about: Licence, data and results.

    Raises:
        ImportError: If huggingface_hub is not installed.
        ValueError: If there are results, but no name of the data.
    """
    hub = import_optional('huggingface_hub', 'hub')
    metrics = {
        key: float(value)
        for key, value in (about.metrics or {}).items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
    if metrics and about.dataset is None:
        raise ValueError('metrics without a dataset: name the data they were measured on')
    backbone, _ = find_backbone(model)
    family = type(backbone)
    scope = str(config.get('default_scope') or '')
    task = TASKS.get(scope)
    data = hub.ModelCardData(
        library_name='mmvmlp',
        license=about.license,
        pipeline_tag=task,
        tags=['vision-mlp', family.name_prefix, *([scope] if task else ())],
        datasets=[about.dataset] if about.dataset else None,
        metrics=list(metrics) or None,
        model_name=name if metrics else None,
        eval_results=[
            hub.EvalResult(
                task_type=task or 'other',
                dataset_type=str(about.dataset),
                dataset_name=str(about.dataset),
                metric_type=key,
                metric_value=value,
            )
            for key, value in metrics.items()
        ]
        or None,
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    network = f'[{family.title}]({family.paper})' if family.paper else family.title
    paragraphs = [
        f'# {name}',
        f'A {type(model).__name__} with the backbone {network}, '
        f'{parameters:,} parameters, for [mmvmlp](https://github.com/mmvmlp/mmvmlp).',
        '## Use',
        '```python\nimport mmvmlp\n\n'
        f"model = mmvmlp.from_pretrained('{name}')  # this folder, or OWNER/NAME on the hub\n```",
        'In this folder:',
        f'    mmvmlp predict IMAGE --config config.py --checkpoint {weights} '
        '--out-dir predictions\n'
        f'    mmvmlp verify {weights} --config config.py\n'
        f'    mmvmlp test config.py {weights} --data-root DIR',
        'A config is a program: read `config.py` before you run these commands on a model of '
        'others. `from_pretrained` reads it as data.',
        '## Data and results',
        f'Data: {about.dataset or "not stated"}. Licence: {about.license}.',
        _table(metrics) if metrics else 'No results were given.',
        '## Files',
        f'`{weights}` holds the weights; its name ends with the first digits of its SHA-256. '
        '`config.py` holds model, data and schedule.',
    ]
    text = '\n\n'.join(paragraphs)
    return str(hub.ModelCard(f'---\n{data.to_yaml()}\n---\n\n{text}\n'))


def _table(metrics: Mapping[str, float]) -> str:
    rows = [f'| {name} | {value:.4g} |' for name, value in metrics.items()]
    return '\n'.join(['| metric | value |', '|---|---|', *rows])
