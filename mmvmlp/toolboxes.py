"""What ``import mmvmlp`` makes known to mmengine and mmpretrain, once those are imported.

mmengine finds ``_base_ = 'mmvmlp::mask_rcnn_hire_mlp_s.py'``, and mmpretrain lists and builds our
classifiers by name. Nothing here imports either: that would take seconds, and fail where they are
missing.
"""

from pathlib import Path
from typing import Any

from wrapt import register_post_import_hook

SCOPE = 'mmvmlp'
MIM_FOLDER = Path(__file__).parent / '.mim'
"""Configs, tools and the model index as they travel in a wheel; links in a checkout."""


def extend_toolboxes() -> None:
    """Extend mmengine and mmpretrain, now or when they are imported."""
    for module in ('mmengine.config.utils', 'mmengine.config.config', 'mmengine.hub.hub'):
        register_post_import_hook(_find_our_configs, module)
    register_post_import_hook(_list_our_classifiers, 'mmpretrain.apis.model')


def _find_our_configs(module: Any) -> None:
    """Let a module of mmengine find the configs of this package, which lie in one folder."""
    original = module._get_package_and_cfg_path

    def get_package_and_cfg_path(cfg_path: str) -> tuple[str, str]:
        package, _, name = cfg_path.partition('::')
        # mmengine itself knows its own packages only, and asks for a folder before the file.
        return (package, name) if package == SCOPE else original(cfg_path)

    module._get_package_and_cfg_path = get_package_and_cfg_path


def _list_our_classifiers(module: Any) -> None:
    """Add the classifiers of our model index to those that mmpretrain knows."""
    index = module.load(str(MIM_FOLDER / 'model-index.yml'))
    index.build_models_with_collections()
    for model in index.models:
        if model.config.startswith('configs/classify_'):
            model.config = str(MIM_FOLDER / model.config)
            module.ModelHub._models_dict[model.name.lower()] = model
