"""Tests with the inference form of the backbone."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmvmlp.deploy.fuse import fuse
from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class FuseHook(Hook):
    """Replaces the backbone by its inference form when a test begins.

    Validation during training keeps the ordinary form.
    """

    def before_test(self, runner: Any) -> None:
        """Fuse the backbone, whose weights are loaded by now.

        Raises:
            TypeError: If the backbone is not one of ours.
            ValueError: If it has norms that cannot be folded.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.backbone = fuse(model.backbone.eval())
