"""Options without effect are refused, all others are accepted."""

import pytest

from mmvmlp.config import options as config_options
from mmvmlp.config.loading import load_config

DETECTOR = 'configs/mask_rcnn_hire_mlp_s.py'
CLASSIFIER = 'configs/classify_hire_mlp_t_digits.py'

OWN_CONFIG = """
# Settings are computed from steps; quiet appears in this comment only: quiet, quiet.
model = dict(type='Toy', quiet=1, steps=3)
steps = 3
quiet = 1
train_cfg = dict(max_epochs=1, val_interval=steps)
custom_hooks = [dict(type='Own', quiet=1, start=2 * steps)]
"""


@pytest.mark.parametrize(
    ('config', 'option', 'expected'),
    [
        (
            DETECTOR,
            'optimwrapper.lr',
            ["knows 'optimwrapper'", 'did you mean optim_wrapper?'],
        ),
        (
            DETECTOR,
            'max_epochs',
            ["knows 'max_epochs'", 'did you mean train_cfg.max_epochs?'],
        ),
        (CLASSIFIER, 'max_epochs', ['train_cfg.max_epochs', 'param_scheduler.1.end']),
        (CLASSIFIER, 'num_classes', ['model.head.num_classes']),
        (CLASSIFIER, 'train_pipeline.1.scale', ['train_dataloader.dataset.pipeline.1.scale']),
        (DETECTOR, 'backend_args', ['train_dataloader.dataset.backend_args']),
    ],
)
def test_option_without_effect_names_an_effective_one(config, option, expected):
    with pytest.raises(ValueError, match=f'--cfg-options {option}=3: ') as error:
        load_config(config, {option: 3})
    for part in expected:
        assert part in str(error.value)


@pytest.mark.parametrize(
    'option',
    [
        'train_cfg.max_epochs',
        'optim_wrapper.optimizer.lr',
        'train_dataloader.dataset.pipeline.1.scale',
        'default_hooks.logger.interval',
        'resume',
        'randomness.seed',
        'find_unused_parameters',
        'compile',
        'test_pipeline.1.scale',
        'tta_pipeline',
        'tta_model.type',
        'data_preprocessor.mean',
    ],
)
def test_settings_of_runs_and_inferencers_are_accepted(option):
    config = load_config(CLASSIFIER, {option: 3})
    value = config
    for part in option.split('.'):
        value = value[int(part) if part.isdigit() else part]
    assert value == 3


def test_unused_variable_gives_a_warning(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr(config_options, 'print_log', lambda text, **_: warnings.append(text))
    file = tmp_path / 'own.py'
    file.write_text(OWN_CONFIG)
    assert load_config(file, {'quiet': 5}).quiet == 5
    assert len(warnings) == 1
    assert "neither the config nor a run reads 'quiet'" in warnings[0]
    with pytest.raises(ValueError, match=r'steps=5.*model\.steps, .*train_cfg\.val_interval'):
        load_config(file, {'steps': 5})
