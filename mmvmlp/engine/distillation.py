"""Distillation of classifiers from a frozen teacher.

Source: Touvron et al., Training data-efficient image transformers & distillation through attention
(DeiT), arXiv 2012.12877, section 3.2; without its distillation token, as in ResMLP, arXiv
2105.03404.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models import ImageClassifier

from mmvmlp.engine.teacher import Normalization, Teacher
from mmvmlp.registry import MODELS

ALPHA = {'hard': 0.5, 'soft': 0.1}
TAU = 3.0


def hard_distillation_loss(logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy with the teacher's most likely class.

    Args:
        logits: The student's (N, classes).
        teacher_logits: The same shape.
    """
    return F.cross_entropy(logits.float(), teacher_logits.argmax(dim=1))


def soft_distillation_loss(
    logits: torch.Tensor, teacher_logits: torch.Tensor, tau: float
) -> torch.Tensor:
    """Return tau² times the mean divergence of the student's from the teacher's probabilities.

    The mean is over images, as in the paper; DeiT's code also divides by the number of classes.

    Args:
        logits: The student's (N, classes).
        teacher_logits: The same shape.
        tau: Temperature that both are divided by.
    """
    student, teacher = (
        F.log_softmax(values.float() / tau, dim=1) for values in (logits, teacher_logits)
    )
    return tau**2 * F.kl_div(student, teacher, reduction='batchmean', log_target=True)


@MODELS.register_module()
class DistilledClassifier(ImageClassifier):
    """Image classifier that also learns from a frozen teacher.

    The loss is ``(1 - alpha)`` times the head's loss on the labels plus ``alpha`` times the loss
    on the teacher's predictions for the same augmented images, Mixup and CutMix included. The
    teacher is loaded when training starts. It is no submodule: never saved, trained, averaged or
    synchronised, and not needed for testing. Trained weights are those of an ``ImageClassifier``.

    Args:
        teacher: ``model``, ``checkpoint`` and, optionally, ``image_size``; see
            :class:`~mmvmlp.engine.teacher.Teacher`.
        distillation: ``'hard'``, the cross-entropy with the teacher's most likely class, or
            ``'soft'``, the divergence from its probabilities.
        alpha: Weight of the teacher, by default DeiT's: 0.5 for hard, 0.1 for soft distillation.
        tau: Temperature of soft distillation, by default 3.
        **kwargs: Arguments of mmpretrain's ``ImageClassifier``.

    Raises:
        TypeError: If ``teacher`` lacks its model or its checkpoint, or has other keys.
        ValueError: If another argument is not accepted.
    """

    def __init__(
        self,
        *,
        teacher: Mapping[str, Any],
        distillation: str = 'hard',
        alpha: float | None = None,
        tau: float | None = None,
        **kwargs: Any,
    ) -> None:
        if distillation not in ALPHA:
            raise ValueError(f"distillation={distillation!r}: 'hard' and 'soft' are accepted")
        alpha = ALPHA[distillation] if alpha is None else alpha
        if not 0 < alpha <= 1:
            raise ValueError(f'alpha={alpha!r}: a number above 0 and up to 1 is accepted')
        if tau is not None and (distillation == 'hard' or not tau > 0):
            raise ValueError(
                f"tau={tau!r}: a number above 0 is accepted, with distillation='soft' only"
            )
        _check_teacher(teacher)
        super().__init__(**kwargs)
        self.distillation, self.alpha, self.tau = distillation, alpha, TAU if tau is None else tau
        self.normalization = Normalization(self.data_preprocessor, 'the student')
        self._teacher_settings = dict(teacher)
        self._teacher: Teacher | None = None

    @property
    def teacher(self) -> Teacher:
        """The teacher, loaded on first use."""
        if self._teacher is None:
            self._teacher = Teacher(
                self._teacher_settings['model'],
                self._teacher_settings['checkpoint'],
                self._teacher_settings.get('image_size'),
                num_classes=getattr(self.head, 'num_classes', None),
            )
        return self._teacher

    def init_weights(self) -> None:
        """Initialise the weights, and load the teacher: a wrong one ends the run at its start."""
        super().init_weights()
        self.teacher  # noqa: B018

    def loss(self, inputs: torch.Tensor, data_samples: list[Any]) -> dict[str, torch.Tensor]:
        """Return the weighted losses on the labels and on the teacher's predictions.

        Args:
            inputs: Normalised images (N, 3, H, W).
            data_samples: Their labels, or their scores if images were mixed.

        Raises:
            ValueError: If teacher and student differ in classes.
        """
        features = self.extract_feat(inputs)
        of_head = self.head.loss(features, data_samples)
        logits = self.head(features)
        teacher_logits = self.teacher.logits(inputs, self.normalization)
        if teacher_logits.shape != logits.shape:
            raise ValueError(
                f'teacher.model={self.teacher.model!r} has {teacher_logits.shape[-1]} classes, the '
                f'student {logits.shape[-1]}: they must be the same, in the same order'
            )
        if self.distillation == 'hard':
            distillation_loss = hard_distillation_loss(logits, teacher_logits)
        else:
            distillation_loss = soft_distillation_loss(logits, teacher_logits, self.tau)
        # mmengine adds up what is called a loss, and logs the sum as `loss`.
        losses = {
            'label_loss' if name == 'loss' else name: (
                (1 - self.alpha) * value if 'loss' in name else value
            )
            for name, value in of_head.items()
        }
        return {**losses, 'distillation_loss': self.alpha * distillation_loss}


def _check_teacher(teacher: Mapping[str, Any]) -> None:
    accepted = (
        'dict(model=NAME or config file, checkpoint=FILE, or True for published weights, or False '
        'for random ones), and optionally image_size in pixels, are accepted'
    )
    if not isinstance(teacher, Mapping) or not (
        {'model', 'checkpoint'} <= teacher.keys() <= {'model', 'checkpoint', 'image_size'}
    ):
        raise TypeError(f'teacher={teacher!r}: {accepted}')
    kinds: dict[str, Any] = {
        'model': str,
        'checkpoint': (str, bool),
        'image_size': (int, type(None)),
    }
    if (
        any(not isinstance(value, kinds[name]) for name, value in teacher.items())
        or not teacher['model']
        or teacher['checkpoint'] == ''
        or (teacher.get('image_size') is not None and teacher['image_size'] < 1)
    ):
        raise TypeError(f'teacher={dict(teacher)!r}: {accepted}')
