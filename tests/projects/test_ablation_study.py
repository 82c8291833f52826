"""Study of the papers' ablations, with a few steps on a few images."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from mmvmlp.backbones.base import registered_families
from projects.ablations.published import ABLATIONS, Variant
from projects.ablations.report import Accuracies, Gain, tables
from projects.ablations.training import FIELDS, TrainingOptions, train_ablations
from projects.digit_images import SIZE
from projects.records import read_records

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / 'projects/ablations/data/ablations.json'
FAMILIES = {family.__name__: family for family in registered_families()}
TINY = TrainingOptions(train=20, val=10, batch_size=4, steps=2)


def outputs(network, variant):
    torch.manual_seed(0)
    model = FAMILIES[network](**variant.backbone(network)).double()
    model.init_weights()
    images = torch.rand(4, 3, SIZE, SIZE, dtype=torch.double)
    return sum(p.numel() for p in model.parameters()), model(images)[-1].detach()


@pytest.mark.parametrize('name', ABLATIONS)
def test_every_variant_differs_from_what_it_is_compared_with(name):
    ablation = ABLATIONS[name]
    variants = (ablation.reference, *ablation.variants)
    results = [outputs(ablation.network, variant) for variant in variants]
    for (parameters, first), (others, second) in itertools.combinations(results, 2):
        assert (parameters, first.shape) != (others, second.shape) or not torch.allclose(
            first, second, rtol=1e-3
        )


def test_a_name_stands_for_one_network():
    variants = {}
    for ablation in ABLATIONS.values():
        for variant in (Variant('default'), ablation.reference, *ablation.variants):
            backbone = variant.backbone(ablation.network)
            assert variants.setdefault((ablation.network, variant.name), backbone) == backbone


def test_variants_are_trained_for_equal_steps_and_not_again(tmp_path):
    out, lines = tmp_path / 'records.json', []

    def train(seeds, **changed):
        train_ablations(
            ['resmlp_norm'],
            out,
            tmp_path / 'data',
            seeds=seeds,
            options=changed.get('options', TINY),
            report=lines.append,
        )
        return read_records(out, FIELDS)

    settings, first = train(1)
    assert [(r['network'], r['variant'], r['seed']) for r in first] == [
        ('ResMLP', 'default', 0),
        ('ResMLP', 'layer norm', 0),
    ]
    assert settings['steps'] == 2
    assert settings['backbones']['ResMLP: layer norm']['norm_cfg'] == {'type': 'LN2d'}
    assert all(round(10 * record['accuracy'], 6) % 1 == 0 for record in first)
    written = out.read_bytes()
    assert train(1)[1] == first and out.read_bytes() == written
    assert len(lines) == 2 and lines[0].startswith('1 of 2: ResMLP, default, seed 0: ')
    with pytest.raises(ValueError, match='steps 2 instead of 3'):
        train(1, options=TrainingOptions(train=20, val=10, batch_size=4, steps=3))


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'names': ['hire_mlp_pading']}, r"\['hire_mlp_pading'\]: accepted are hire_mlp_padding"),
        ({'names': []}, 'ablations'),
        ({'seeds': 0}, 'seeds=0'),
        ({'jobs': 0}, 'jobs=0'),
        ({'options': TrainingOptions(steps=0)}, 'steps=0'),
    ],
)
def test_wrong_arguments_are_named_before_files_are_written(tmp_path, changed, message):
    arguments = {'names': ['resmlp_norm'], **changed}
    with pytest.raises(ValueError, match=message):
        train_ablations(out=tmp_path / 'records.json', data=tmp_path / 'data', **arguments)
    assert list(tmp_path.iterdir()) == []


def records(network, **accuracies):
    return [
        {
            'network': network,
            'variant': variant.replace('_', ' '),
            'seed': seed,
            'accuracy': accuracy / 100,
            'parameters': 1234567,
        }
        for variant, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def test_gain_of_two_networks_has_the_interval_of_a_t_test():
    first, second = [70.0, 72.0, 74.0], [75.0, 76.5, 78.5]
    gain = Accuracies(records('ResMLP', first=first, second=second)).gain('second', 'first')
    interval = stats.ttest_ind(second, first).confidence_interval(0.95)
    assert gain.value - gain.half_width == pytest.approx(interval.low)
    assert gain.value + gain.half_width == pytest.approx(interval.high)


def test_interval_has_the_spread_of_all_variants():
    generator = np.random.default_rng(0)
    accuracies = {name: generator.normal(80, 2, 200) for name in ('a', 'b', 'c')}
    accuracies['c'] += 10
    gain = Accuracies(records('ResMLP', **accuracies)).gain('a', 'b')
    assert gain.half_width == pytest.approx(1.96 * 2 * (2 / 200) ** 0.5, rel=0.1)
    # Variants without a spread of their own.
    few = Accuracies(records('ResMLP', a=[70], b=[80], c=[75, 77])).gain('b', 'a')
    factor = stats.t.ppf(0.975, 1)
    assert few.half_width == pytest.approx(factor * 2**0.5 * 2**0.5)


@pytest.mark.parametrize(
    ('value', 'published', 'verdict'),
    [
        (-1.1, -0.2, 'agrees'),
        (1.1, 0.2, 'agrees'),
        (1.1, -0.2, 'differs'),
        (-1.1, 0.2, 'differs'),
        (1.0, 0.2, 'no difference shown'),
        (-0.9, 0.2, 'no difference shown'),
        (5.0, None, 'no number'),
    ],
)
def test_verdict_compares_signs_outside_the_interval(value, published, verdict):
    assert Gain(value, half_width=1.0).verdict(published) == verdict


def test_tables_have_what_was_measured():
    text = tables(
        [
            *records('ResMLP', default=[70, 71], layer_norm=[80, 81], MLP_across_patches=[60, 61]),
            *records('S2MLP', default=[70, 71], right=[70, 70]),
        ]
    )
    assert text.startswith(
        'Of 3 published gains, the digits agree with 1, differ from 1, and show no difference in 1.'
    )
    assert text.count('## ') == 2
    assert '| `resmlp_norm`: default | 1,234,567 | 70.5 |  | ResMLP-S12 on ImageNet |  |' in text
    assert '| layer norm | 1,234,567 | 80.5 | +10.0 ± 2.3 | +1.1 | agrees |' in text
    assert '| MLP across patches | 1,234,567 | 60.5 | −10.0 ± 2.3 | +0.7 | differs |' in text
    assert 'no mixing of patches' not in text and 'Hire-MLP' not in text


def test_one_seed_shows_no_difference():
    text = tables(records('ResMLP', default=[70], layer_norm=[90]))
    assert '| +20.0 ± inf | +1.1 | no difference shown |' in text


def test_the_page_has_the_tables_of_the_records():
    kept = read_records(RECORDS, FIELDS)[1] if RECORDS.exists() else []
    assert f'\n{tables(kept)}\n' in (ROOT / 'docs/ablations.md').read_text(), (
        'run python -m projects.ablations'
    )
