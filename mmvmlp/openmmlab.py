"""Extensions of mmengine and mmpretrain, applied when these are imported.

They let mmengine resolve ``_base_ = 'mmvmlp::mask_rcnn_hire_mlp_s.py'``, and mmpretrain list and
build our classifiers by name. Neither is imported here, which would take seconds, or fail.

mmengine's table of packages, ``MODULE2PACKAGE``, does less: with it a config's name must have a
folder before the file, the package must be installed (a checkout on the path is not enough), and
its hub calls ``register_all_modules`` of the package's ``utils``.
"""

import sys
from functools import cache
from pathlib import Path
from typing import Any

from wrapt import register_post_import_hook

SCOPE = 'mmvmlp'
MIM_FOLDER = Path(__file__).parent / '.mim'
"""Configs, tools and the model index in a wheel; links to them in a checkout."""


def extend_toolboxes() -> None:
    """Extend mmengine and mmpretrain, now or when they are imported."""
    register_post_import_hook(_inherit_our_configs, 'mmengine.config.config')
    register_post_import_hook(_get_our_configs_and_models, 'mmengine.hub.hub')
    register_post_import_hook(_list_our_classifiers, 'mmpretrain.apis.model')


def _inherit_our_configs(module: Any) -> None:
    """Let ``_base_`` name the configs of this package, which lie in one folder."""
    original = module.Config._get_cfg_path
    # For each of them mmengine reads the toolbox's whole model index, some hundred files.
    look_up = cache(lambda cfg_path: original(cfg_path, ''))

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        package, separator, name = cfg_path.partition('::')
        if package != SCOPE or not separator:
            found: tuple[str, str | None]
            found = look_up(cfg_path) if separator else original(cfg_path, filename)
            return found
        # Without a scope: mmengine would look for every type of the config, `EncoderDecoder` too,
        # in the registry that it names.
        return str(path_of_config(name)), None

    module.Config._get_cfg_path = staticmethod(get_cfg_path)


def path_of_config(name: str) -> Path:
    """Return the path of a config of this package.

    Args:
        name: File name, as in ``'mmvmlp::NAME.py'``.

    Raises:
        FileNotFoundError: If the config does not exist.
    """
    path = MIM_FOLDER / 'configs' / name
    if not path.is_file():
        raise FileNotFoundError(
            f"config '{SCOPE}::{name}' does not exist in {MIM_FOLDER / 'configs'}"
        )
    return path


def _get_our_configs_and_models(module: Any) -> None:
    """Let ``mmengine.hub`` load configs and models of this package."""
    original_path, original_model = module._get_package_and_cfg_path, module.get_model

    def get_package_and_cfg_path(cfg_path: str) -> tuple[str, str]:
        package, _, name = cfg_path.partition('::')
        # mmengine itself requires a folder in the name.
        return (package, name) if package == SCOPE else original_path(cfg_path)

    def get_model(cfg_path: str, pretrained: bool = False, **kwargs: Any) -> Any:
        if cfg_path.partition('::')[0] != SCOPE:
            return original_model(cfg_path, pretrained, **kwargs)
        config = module.get_config(cfg_path, pretrained)
        # Types are looked up in the config's toolbox.
        with module.DefaultScope.overwrite_default_scope(config.default_scope):
            config.model.setdefault('data_preprocessor', config.get('data_preprocessor'))
            return module.MODELS.build(config.model, default_args=kwargs)

    module._get_package_and_cfg_path = get_package_and_cfg_path
    module.get_model = get_model
    if 'mmengine.hub' in sys.modules:
        sys.modules['mmengine.hub'].__dict__['get_model'] = get_model


def _list_our_classifiers(module: Any) -> None:
    """Add the classifiers of our model index to mmpretrain's."""
    # `ModelHub.register_model_index` would also list the index's detectors and segmentors.
    index = module.load(str(MIM_FOLDER / 'model-index.yml'))
    index.build_models_with_collections()
    for model in index.models:
        if model.config.startswith('configs/classify_'):
            model.config = str(MIM_FOLDER / model.config)
            if model.weights:
                # mmengine reads this scheme with our strict loader, which knows the formats.
                model.weights = f'{SCOPE}://{model.weights}'
            module.ModelHub._models_dict[model.name.lower()] = model
