"""Safe reading of checkpoints by mmengine: ``load_from``, ``resume``, ``Pretrained``, inferencers.

mmengine's own reader falls back to full unpickling, which runs arbitrary code from the file.
"""

from typing import Any

from mmengine import fileio
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from mmvmlp.checkpoints.published import find_weights, weights_file
from mmvmlp.checkpoints.reading import (
    NESTING_KEYS,
    CheckpointError,
    extract_state_dict,
    read_checkpoint,
)

MODEL_ZOOS = {
    'open-mmlab://': get_external_models,
    'openmmlab://': get_external_models,
    'mmcls://': get_mmcls_models,
    'torchvision://': get_torchvision_models,
    'modelzoo://': get_torchvision_models,
}
"""Functions that return mmengine's tables of URLs, by URL scheme."""


def read_safely_in_mmengine() -> None:
    """Make mmengine read checkpoints with :func:`read_checkpoint` in this process."""
    for prefixes, loader in (
        (('', 'http://', 'https://'), _load_from_file_or_address),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), _load_from_store),
        (tuple(MODEL_ZOOS), _load_from_model_zoo),
        (('mmvmlp://',), _load_from_publisher),
        (('pavi://',), _load_from_unsupported),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


# mmengine logs the part of these functions' names after `load_from_`.


def _load_from_file_or_address(filename: str, map_location: Any = None) -> dict[str, Any]:
    contents = _without_configs(read_checkpoint(filename, map_location))
    tensors = extract_state_dict(contents, filename)
    records = {
        key: value
        for key, value in contents.items()
        if key not in NESTING_KEYS and key not in tensors
    }
    # mmengine looks under this key first, so it loads the tensors that were checked.
    return {**records, 'state_dict': tensors}


def _without_configs(contents: dict[str, Any]) -> dict[str, Any]:
    """Leave out configs, which are programs: mmengine runs them on resuming and for inferencers."""
    kept = dict(contents)
    for path in (('meta', 'config'), ('meta', 'cfg'), ('message_hub', 'runtime_info', 'cfg')):
        records: Any = kept
        for key in path[:-1]:
            if not isinstance(records.get(key), dict):
                break
            records[key] = records = dict(records[key])
        else:
            records.pop(path[-1], None)
    return kept


def _load_from_store(filename: str, map_location: Any = None) -> dict[str, Any]:
    with fileio.get_local_path(filename) as file:
        return _load_from_file_or_address(file, map_location)


def _load_from_model_zoo(filename: str, map_location: Any = None) -> dict[str, Any]:
    scheme, separator, name = filename.partition('://')
    addresses = MODEL_ZOOS[scheme + separator]()
    address = addresses.get(get_deprecated_model_names().get(name, name), '')
    if not address.startswith(('http://', 'https://')):
        raise CheckpointError(f"checkpoint {filename!r} is not in mmengine's model zoo")
    contents = _load_from_file_or_address(address, map_location)
    if scheme == 'mmcls':
        # mmengine returns only the backbones of these classifiers.
        contents['state_dict'] = {
            key.removeprefix('backbone.'): tensor
            for key, tensor in contents['state_dict'].items()
            if key.startswith('backbone.')
        }
    return contents


def _load_from_publisher(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load published weights, by name or address; those of a classifier as ours names them."""
    # Only here: a classifier requires mmpretrain.
    from mmvmlp.build import build_classifier
    from mmvmlp.checkpoints.loading import load_checkpoint

    weights = find_weights(filename.removeprefix('mmvmlp://'))
    if weights.method:
        return _load_from_file_or_address(str(weights_file(weights)), map_location)
    classifier = build_classifier(weights.network, weights.classes)
    matched = load_checkpoint(classifier, weights_file(weights)).matched
    tensors = classifier.state_dict()
    return {'state_dict': {key: tensors[key].to(map_location or 'cpu') for key in matched}}


def _load_from_unsupported(filename: str, map_location: Any = None) -> dict[str, Any]:
    raise CheckpointError(f'checkpoint {filename!r} cannot be read safely; download it first')
