"""Model cards in the format of the Hugging Face Hub."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmengine.config import Config

from mmvmlp.backbones.base import find_backbone

TASKS = {
    'mmdet': 'object-detection',
    'mmseg': 'image-segmentation',
    'mmpretrain': 'image-classification',
}
"""Tasks of the hub by the default scope of a config."""


@dataclass(frozen=True)
class Provenance:
    """What a model card says and a config does not.

    Attributes:
        license: Identifier of the licence on the hub, such as ``'apache-2.0'``; ``'unknown'`` if
            it was not given.
        dataset: Name of the data on which the model was trained and tested, if it was given.
        metrics: Results on the test data, as ``mmvmlp test --out`` writes them.
    """

    license: str = 'unknown'
    dataset: str | None = None
    metrics: Mapping[str, float] | None = None


def model_card(name: str, config: Config, model: object, weights: str, about: Provenance) -> str:
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
    try:
        from huggingface_hub import EvalResult, ModelCard, ModelCardData
    except ImportError as error:
        raise ImportError('huggingface_hub is missing: pip install mmvmlp[hub]') from error
    metrics = {
        key: float(value)
        for key, value in (about.metrics or {}).items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
    if metrics and about.dataset is None:
        raise ValueError('metrics without a dataset: name the data they were measured on')
    backbone, _ = find_backbone(model)  # type: ignore[arg-type]
    family = type(backbone)
    scope = str(config.get('default_scope') or '')
    task = TASKS.get(scope)
    data = ModelCardData(
        library_name='mmvmlp',
        license=about.license,
        pipeline_tag=task,
        tags=['vision-mlp', family.name_prefix, *([scope] if task else ())],
        datasets=[about.dataset] if about.dataset else None,
        metrics=list(metrics) or None,
        model_name=name if metrics else None,
        eval_results=[
            EvalResult(
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
    parameters = sum(parameter.numel() for parameter in model.parameters())  # type: ignore[attr-defined]
    body = [
        f'# {name}',
        f'A {type(model).__name__} with the backbone [{family.title}]({family.paper}), '
        f'{parameters:,} parameters, for [mmvmlp](https://github.com/mmvmlp/mmvmlp).',
        '## Use',
        '```python',
        f"import mmvmlp\n\nmodel = mmvmlp.from_pretrained('{name}')  # this folder, or OWNER/NAME",
        '```',
        'In this folder:',
        f'    mmvmlp predict IMAGE --config config.py --checkpoint {weights} --out-dir predictions',
        f'    mmvmlp verify {weights} --config config.py',
        f'    mmvmlp test config.py {weights} --data-root DIR',
        'A config is a program: read `config.py` before you run these commands with one that you '
        'did not write. `from_pretrained` reads it as data.',
        '## Data and results',
        f'Data: {about.dataset or "not stated"}. Licence: {about.license}.',
        *_table(sorted(metrics.items())),
        '## Files',
        f'`{weights}` holds the weights (the last digits of its name are the first of its SHA-256), '
        '`config.py` model, data and schedule.',
    ]
    return str(
        ModelCard(f'---\n{data.to_yaml()}\n---\n\n' + _joined(body), ignore_metadata_errors=False)
    )


def _table(metrics: Sequence[tuple[str, float]]) -> list[str]:
    if not metrics:
        return ['No results were given.']
    rows = [f'| {name} | {value:.4g} |' for name, value in metrics]
    return ['\n'.join(['| metric | value |', '|---|---|', *rows])]


def _joined(parts: Sequence[str]) -> str:
    """Join paragraphs; fences and the lines of a listing stay together."""
    text = parts[0]
    for before, part in zip(parts, parts[1:]):
        close = before == '```python' or part == '```' or before[:4] == part[:4] == '    '
        text += ('\n' if close else '\n\n') + part
    return text + '\n'
