"""Stopping at a loss that is not finite, or skipping the step."""

from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict

from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Refuses a step whose loss is NaN or infinite, before the optimiser changes the weights.

    Otherwise all weights become NaN, and the next checkpoint replaces the last good one. Weights
    that are not finite are not saved either.

    Args:
        action: ``'stop'`` the training with an error, or ``'skip'`` the step.
        limit: Number of steps that may be skipped in a row.

    Raises:
        ValueError: If ``action`` is not accepted, or ``limit`` is not positive.
    """

    priority = 'VERY_HIGH'

    def __init__(self, action: str = 'stop', limit: int = 10) -> None:
        if action not in ('stop', 'skip'):
            raise ValueError(f"action={action!r}: 'stop' and 'skip' are accepted")
        if limit < 1:
            raise ValueError(f'limit={limit!r}: at least 1 is accepted')
        self.action, self.limit = action, limit
        self.skipped = self.skipped_in_a_row = 0
        self.not_finite: list[str] = []
        self.buffers: list[torch.Tensor] = []

    def before_train(self, runner: Any) -> None:
        """Look at the losses between the forward and the backward pass.

        Raises:
            TypeError: If steps are to be skipped and there are several optimisers.
        """
        if self.action == 'skip' and isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise TypeError("action='skip': one optimiser is accepted, not several")
        model = _unwrapped(runner.model)
        parse_losses, update_params = model.parse_losses, runner.optim_wrapper.update_params

        def checked_losses(losses: Any) -> Any:
            total, terms = parse_losses(losses)
            # Others, such as accuracies, are not part of the total.
            self.not_finite = _not_finite({key: terms[key] for key in terms if 'loss' in key})
            if self.not_finite and self.action == 'stop':
                raise FloatingPointError(_message(runner, self.not_finite))
            return total, terms

        def update_if_finite(loss: torch.Tensor, *arguments: Any, **named: Any) -> None:
            finite = torch.tensor(not self.not_finite, dtype=torch.int32, device=loss.device)
            # All ranks take the step, or none.
            all_reduce(finite, 'min')
            if finite:
                self.skipped_in_a_row = 0
                update_params(loss, *arguments, **named)
            else:
                self._skip(runner, model, loss)

        model.parse_losses = checked_losses
        if self.action == 'skip':
            runner.optim_wrapper.update_params = update_if_finite

    def _skip(self, runner: Any, model: Any, loss: torch.Tensor) -> None:
        self.skipped += 1
        self.skipped_in_a_row += 1
        terms = self.not_finite or ['the loss of another process']
        if self.skipped_in_a_row > self.limit:
            raise FloatingPointError(
                f'{_message(runner, terms)}; {self.limit} steps in a row were skipped before'
            )
        runner.logger.warning(
            f'Skipped the step of iteration {runner.iter + 1}, whose loss is not finite '
            f'({", ".join(terms)}); {self.skipped} skipped so far.'
        )
        # Data parallelism waits for the backward pass.
        runner.optim_wrapper.backward(loss)
        runner.optim_wrapper.zero_grad()
        # Batch norms have averaged the maps by now.
        for buffer, former in zip(model.buffers(), self.buffers, strict=True):
            buffer.copy_(former)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the buffers, which the forward pass changes."""
        if self.action == 'skip':
            self.buffers = [buffer.clone() for buffer in _unwrapped(runner.model).buffers()]

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite.

        Raises:
            FloatingPointError: If there are any, with the first names.
        """
        names = _not_finite(checkpoint['state_dict'])
        if names:
            raise FloatingPointError(
                f'iteration {runner.iter + 1}: weights are not finite ({", ".join(names[:3])}); no '
                f'checkpoint was written, and earlier ones are unchanged. {REMEDY}'
            )

    def after_train(self, runner: Any) -> None:
        """Undo the changes of ``before_train``."""
        vars(_unwrapped(runner.model)).pop('parse_losses', None)
        vars(runner.optim_wrapper).pop('update_params', None)
        if self.skipped:
            runner.logger.warning(f'Steps skipped for a loss that was not finite: {self.skipped}.')


REMEDY = (
    'Lower the learning rate, clip gradients (optim_wrapper.clip_grad.max_norm), and check the '
    'data (mmvmlp check-config)'
)


def _message(runner: Any, terms: list[str]) -> str:
    return (
        f'iteration {runner.iter + 1}: the loss is not finite ({", ".join(terms)}); stopped before '
        f'the step, and checkpoints are unchanged. {REMEDY}, or skip such steps with '
        '--cfg-options default_hooks.finite_loss.action=skip'
    )


def _not_finite(tensors: Any) -> list[str]:
    return [name for name, value in tensors.items() if not torch.as_tensor(value).isfinite().all()]


def _unwrapped(model: Any) -> Any:
    return model.module if is_model_wrapper(model) else model
