"""Study of image sizes from end to end, with tiny networks on a few images."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from projects.records import RecordFile, read_records
from projects.resolution_study import classification, finetuning
from projects.resolution_study.classification import FIELDS, TrainingOptions, classify
from projects.resolution_study.detection import detect
from projects.resolution_study.finetuning import FineTuningOptions, fine_tune
from projects.resolution_study.report import (
    NO_RECORDS,
    Measurements,
    Spread,
    sections,
    write_report,
)

DOCUMENT = Path('docs/resolution.md')
DATA = Path('projects/resolution_study/data')
TINY = {
    'MLPMixer': {'depth': 4, 'channels': 8, 'patch_size': 16, 'image_size': 64},
    'S2MLP': {'depth': 4, 'channels': 8, 'patch_size': 16},
}
SIZES = (48, 64, 80)
OPTIONS = TrainingOptions(train=20, val=10, epochs=1, batch_size=10)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Return a function that runs the study with tiny networks."""
    monkeypatch.setattr(classification, 'NETWORKS', TINY)
    out = tmp_path / 'records' / 'classification.json'

    def call(**changed):
        lines = []
        arguments = {'seeds': (0,), 'networks': tuple(TINY), 'sizes': SIZES, 'options': OPTIONS}
        classify(out, tmp_path / 'data', **{**arguments, **changed}, report=lines.append)
        return out, lines

    return call


def test_every_policy_is_tested_at_every_size_and_resumed(study, tmp_path):
    out, lines = study()
    assert len(lines) == 2
    assert lines[0].startswith('1 of 2: MLPMixer, seed 0, ')
    records = read_records(out, FIELDS)[1]
    keys = [(record['network'], record['policy'], record['size']) for record in records]
    assert keys == [
        ('MLPMixer', 'native', 64),
        *(('MLPMixer', policy, size) for policy in ('resize', 'window') for size in SIZES),
        *(('S2MLP', 'size-free', size) for size in SIZES),
    ]
    assert all(record['images'] == 10 and record['parameters'] > 1000 for record in records)
    assert {round(10 * record['accuracy'], 6) % 1 for record in records} == {0}
    of_native_size = {r['accuracy'] for r in records[:7] if r['size'] == 64}
    assert len(of_native_size) == 1
    assert list(tmp_path.glob('records/classification/S2MLP_seed0/*.pth'))

    written = out.read_bytes()
    assert study()[1] == []
    assert out.read_bytes() == written
    assert len(study(networks=('S2MLP',), seeds=(1, 0))[1]) == 1
    assert [record for record in read_records(out, FIELDS)[1] if record['seed'] == 0] == records


def test_the_same_seed_gives_the_same_records(study):
    def accuracies():
        out, _ = study(networks=('MLPMixer',), options=TrainingOptions(20, 10, 2, 10))
        return [record['accuracy'] for record in read_records(out, FIELDS)[1]], out

    first, out = accuracies()
    out.unlink()
    assert accuracies()[0] == first


@pytest.mark.slow
def test_processes_side_by_side(study, monkeypatch):
    # Worker processes use the networks of the study, not those of the test.
    monkeypatch.setattr(classification, 'NETWORKS', dict(classification.NETWORKS))
    monkeypatch.undo()
    out, lines = study(networks=('ResMLP', 'S2MLP'), jobs=2)
    assert len(lines) == 2
    assert {record['network'] for record in read_records(out, FIELDS)[1]} == {'ResMLP', 'S2MLP'}


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'networks': ('ResNet',)}, r"'ResNet'.*MLPMixer, S2MLP"),
        ({'networks': ()}, 'accepted are MLPMixer'),
        ({'seeds': ()}, 'seeds'),
        ({'seeds': (1, 1)}, 'distinct'),
        ({'sizes': (64, 256)}, '256.*from 32 to 128'),
        ({'jobs': 0}, 'jobs=0'),
        ({'options': TrainingOptions(epochs=0)}, 'epochs=0'),
    ],
)
def test_invalid_arguments_are_named_before_files_are_written(study, tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        study(**changed)
    assert list(tmp_path.iterdir()) == []


def test_records_with_other_settings_are_refused(study):
    out, _ = study(networks=('S2MLP',))
    with pytest.raises(ValueError, match='epochs 1 instead of 2: name another file'):
        study(options=TrainingOptions(20, 10, 2, 10))
    out.write_text('[]')
    with pytest.raises(ValueError, match='not a record file of this study'):
        study()


def test_a_network_joins_the_records_of_others(tmp_path):
    def architectures(**given):
        return RecordFile(tmp_path / 'records.json', {'architectures': given}, FIELDS)

    architectures(MLPMixer={'depth': 4}).add([])
    architectures(S2MLP={'depth': 5}).add([])
    assert architectures().settings == {
        'architectures': {'MLPMixer': {'depth': 4}, 'S2MLP': {'depth': 5}}
    }
    with pytest.raises(ValueError, match="'S2MLP': {'depth': 5}} instead of .*: name another file"):
        architectures(S2MLP={'depth': 6})


def test_parameters_do_not_depend_on_the_policy():
    # Weights trained with one policy must load with another.
    for network in classification.NETWORKS:
        size_free = classification.family_of(network).size_free
        policies = ('size-free',) if size_free else classification.POLICIES
        shapes = []
        for policy in policies:
            config = classification.classifier_config(network, policy)
            model = classification.MODELS.build(config)
            shapes.append({name: value.shape for name, value in model.state_dict().items()})
            sizes = (64,) if policy == 'native' else (48, 128)
            for size in sizes:
                assert model(torch.zeros(2, 3, size, size)).shape == (2, 10)
        assert all(shape == shapes[0] for shape in shapes)


def test_fine_tuning_starts_from_equal_accuracies_and_is_resumed(tmp_path, monkeypatch):
    for module in (classification, finetuning):
        monkeypatch.setattr(module, 'NETWORKS', TINY)
    lines, out = [], tmp_path / 'records' / 'finetuning.json'

    def call(**changed):
        options = FineTuningOptions(train=20, val=10, epochs=1, batch_size=10)
        arguments = {'seeds': (0,), 'networks': ('MLPMixer',), 'options': options, **changed}
        fine_tune(out, tmp_path / 'data', **arguments, report=lines.append)
        return read_records(out, FIELDS)[1]

    resampled, resized = call()
    assert (resampled['policy'], resized['policy']) == ('resampled', 'resize')
    assert resampled['accuracy_before'] == resized['accuracy_before']
    assert resampled['parameters'] > resized['parameters']
    tensors = [
        torch.load(folder / 'epoch_1.pth', weights_only=False)['state_dict']
        for folder in (out.with_suffix('') / 'MLPMixer_seed0' / way for way in finetuning.WAYS)
    ]
    # 4x4 tokens of 64 pixels, and 6x6 of 96.
    key = 'backbone.stages.0.blocks.0.token_mixing.fc1.weight'
    assert [state[key].shape[1] for state in tensors] == [16, 36]
    assert call() == [resampled, resized]
    assert len(lines) == 1
    with pytest.raises(ValueError, match="'S2MLP'.*accepted are SMLPNet, ResMLP, MLPMixer"):
        call(networks=('S2MLP',))


def test_table_of_fine_tuning_compares_seed_by_seed(tmp_path):
    RecordFile(tmp_path / 'resolution_finetuning.json', {}, FIELDS).add(
        {**record('ResMLP', seed, way, 96, value), 'accuracy_before': 0.5, 'accuracy_native': 0.6}
        for seed, way, value in [
            *((0, 'resize', 0.7), (0, 'resampled', 0.8)),
            *((1, 'resize', 0.6), (1, 'resampled', 0.6)),
        ]
    )
    assert sections(tmp_path)['fine_tuning'].splitlines()[2:] == [
        '| ResMLP | `resize` | 1,234,567 | 2 | 60.0 (60.0 to 60.0) | 50.0 (50.0 to 50.0) | '
        '65.0 (60.0 to 70.0) |  |',
        '| ResMLP | resampled | 1,234,567 | 2 | 60.0 (60.0 to 60.0) | 50.0 (50.0 to 50.0) | '
        '70.0 (60.0 to 80.0) | +5.0 (+0.0 to +10.0) |',
    ]


def record(network, seed, policy, size, value):
    return {
        **{'network': network, 'seed': seed, 'policy': policy, 'size': size, 'accuracy': value},
        **{'bbox_mAP': value, 'segm_mAP': value, 'seconds_train': 60.0, 'parameters': 1234567},
        **{'config': 'some_config', 'trained_at': 64},
    }


RECORDS = [
    *(record('ResMLP', seed, 'native', 64, 0.9) for seed in (0, 1)),
    *(record('ResMLP', seed, 'resize', 64, 0.9) for seed in (0, 1)),
    *(record('ResMLP', seed, 'window', 64, 0.9) for seed in (0, 1)),
    *(record('ResMLP', seed, 'resize', 80, 0.7 + 0.1 * seed) for seed in (0, 1)),
    *(record('ResMLP', seed, 'window', 80, 0.5 + 0.1 * seed) for seed in (0, 1)),
    *(record('S2MLP', seed, 'size-free', size, 0.6) for seed in (0, 1) for size in (64, 80)),
]


@pytest.fixture
def folder(tmp_path):
    """Records of both parts, and a document with markers."""
    for name in ('resolution_classification', 'resolution_detection'):
        RecordFile(tmp_path / f'{name}.json', {}, FIELDS).add(RECORDS)
    shutil.copy(DOCUMENT, tmp_path / 'resolution.md')
    return tmp_path


def test_tables_have_mean_and_spread(folder):
    contents = sections(folder)
    assert (
        '| ResMLP | `resize` | 90.0 (90.0 to 90.0) | 75.0 (70.0 to 80.0) |' in contents['accuracy']
    )
    assert '| ResMLP | `native` | 90.0 (90.0 to 90.0) |  |' in contents['accuracy']
    assert '| S²-MLP | size-free | 60.0 (60.0 to 60.0) |' in contents['accuracy']
    assert '| ResMLP | `window` |  | −35.0 (−40.0 to −30.0) |' in contents['drop']
    assert '| ResMLP | +20.0 (+20.0 to +20.0) | +20.0 (+20.0 to +20.0) |' in contents['difference']
    assert '| ResMLP | depth 6, ' in contents['networks']
    assert '| 1,234,567 | 2 | 60 |' in contents['networks']
    assert '75.0 (70.0 to 80.0)' in contents['detection_mask']
    assert contents['detectors'].splitlines()[2:] == [
        '| ResMLP | `some_config` | 1,234,567 | 2 | 1.0 | 90.0 (90.0 to 90.0) | '
        '90.0 (90.0 to 90.0) |',
        '| S²-MLP | `some_config` | 1,234,567 | 2 | 1.0 | 60.0 (60.0 to 60.0) | '
        '60.0 (60.0 to 60.0) |',
    ]


def test_tables_are_regenerated_and_other_text_is_kept(folder):
    document = folder / 'resolution.md'
    write_report(folder, document, folder)
    first = document.read_text()
    assert '75.0 (70.0 to 80.0)' in first
    document.write_text(first.replace('75.0 (70.0 to 80.0)', '99.0 (99.0 to 99.0)') + 'Prose.\n')
    write_report(folder, document, folder)
    assert document.read_text() == first + 'Prose.\n'
    for name in ('resolution_classification', 'resolution_detection'):
        image = np.asarray(Image.open(folder / f'{name}.png').convert('RGB'))
        assert image.shape[1] > 900
        assert image.std() > 10


def test_document_matches_the_records(tmp_path):
    copy = tmp_path / 'resolution.md'
    shutil.copy(DOCUMENT, copy)
    write_report(DATA, copy, tmp_path)
    assert copy.read_text() == DOCUMENT.read_text()
    for plot in tmp_path.glob('*.png'):
        kept = Path('docs/images', plot.name)
        assert Image.open(plot).size == Image.open(kept).size


def test_missing_records_are_noted_in_the_document(folder):
    (folder / 'resolution_detection.json').unlink()
    write_report(folder, folder / 'resolution.md', folder)
    assert (folder / 'resolution.md').read_text().count(NO_RECORDS) == 4


@pytest.mark.parametrize(
    ('is_there', 'missing'),
    [
        (lambda r: r['network'] == 'S2MLP', 'sMLPNet; ResMLP; MLP-Mixer; Hire-MLP'),
        (lambda r: r['seed'] == 0 or r['policy'] != 'window', 'ResMLP `window` at 64 (seed 1), 80'),
        (lambda r: r['policy'] != 'resize', 'ResMLP `resize` at 64, 80; MLP-Mixer;'),
        (lambda r: r['policy'] != 'native', 'ResMLP `native` at 64; MLP-Mixer;'),
        (lambda r: r['size'] == 64, 'sMLPNet; MLP-Mixer; Hire-MLP'),
        (lambda r: r['size'] == 80, 'ResMLP `native` at 64; MLP-Mixer;'),
        (
            lambda r: (r['policy'], r['seed'], r['size']) != ('resize', 0, 80),
            '`resize` at 80 (seed',
        ),
        (lambda r: r == RECORDS[0], 'sMLPNet; ResMLP `resize` at 64; ResMLP `window` at 64; MLP'),
    ],
)
def test_incomplete_study_lists_missing_measurements(folder, is_there, missing):
    for name in ('resolution_classification', 'resolution_detection'):
        (folder / f'{name}.json').unlink()
        RecordFile(folder / f'{name}.json', {}, FIELDS).add(filter(is_there, RECORDS))
    write_report(folder, folder / 'resolution.md', folder)
    contents = sections(folder)
    for name in ('accuracy', 'detection_box', 'detection_mask'):
        assert 'Not measured: ' in contents[name]
        assert missing in contents[name].partition('Not measured: ')[2]
        assert contents[name] in (folder / 'resolution.md').read_text()


def test_mean_over_sizes_uses_seeds_with_all_sizes():
    one_less = [r for r in RECORDS if (r['policy'], r['seed'], r['size']) != ('window', 0, 80)]
    found = Measurements(one_less, 'accuracy').mean_difference('ResMLP', 64)
    assert found == Spread(*[pytest.approx(20)] * 3)
    assert Measurements(RECORDS[:6], 'accuracy').mean_difference('ResMLP', 64) is None


def test_empty_record_file_counts_as_missing(folder):
    RecordFile(folder / 'resolution_detection.json', {}, FIELDS).path.unlink()
    RecordFile(folder / 'resolution_detection.json', {}, FIELDS).add([])
    assert list(sections(folder).values()).count(NO_RECORDS) == 4


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'network': 'ResNet'}, "record with network 'ResNet': accepted are SMLPNet, ResMLP"),
        ({'policy': 'stretch'}, "record with policy 'stretch': accepted are native, resize"),
        ({'accuracy': None}, 'record without accuracy: '),
    ],
)
def test_invalid_records_are_refused(folder, changed, message):
    strange = {k: v for k, v in {**RECORDS[0], **changed}.items() if v is not None}
    RecordFile(folder / 'resolution_classification.json', {}, FIELDS).add([strange])
    before = (folder / 'resolution.md').read_text()
    with pytest.raises(ValueError, match=rf'resolution_classification\.json.*{message}'):
        write_report(folder, folder / 'resolution.md', folder)
    assert (folder / 'resolution.md').read_text() == before
    assert not list(folder.glob('*.png'))


def test_missing_marker_is_named(folder):
    document = folder / 'resolution.md'
    document.write_text(document.read_text().replace('<!-- end drop -->', ''))
    with pytest.raises(ValueError, match=r'resolution\.md.*<!-- begin drop -->'):
        write_report(folder, document, folder)
    assert not list(folder.glob('*.png'))
    with pytest.raises(FileNotFoundError, match=r'other\.md'):
        write_report(folder, folder / 'other.md', folder)


def test_differences_are_computed_per_seed():
    measurements = Measurements(RECORDS, 'accuracy')
    found = measurements.difference('ResMLP', ('resize', 80), ('window', 80))
    assert found == Spread(pytest.approx(20), pytest.approx(20), pytest.approx(20))
    assert measurements.fixed == ['ResMLP']
    assert measurements.size_free == ['S2MLP']


def test_invalid_arguments_of_detection(tmp_path):
    with pytest.raises(FileNotFoundError, match='no_such'):
        detect(tmp_path, tmp_path / 'out.json', configs='no_such_*.py')
    with pytest.raises(ValueError, match='seeds'):
        detect(tmp_path, tmp_path / 'out.json', seeds=(0, 0))
    with pytest.raises(ValueError, match='sizes'):
        detect(tmp_path, tmp_path / 'out.json', sizes=())
    with pytest.raises(ValueError, match='jobs=0'):
        detect(tmp_path, tmp_path / 'out.json', jobs=0)


@pytest.mark.slow
def test_detection_trains_once_and_tests_each_size(tmp_path, digits_folder):
    lines = []
    options = (
        *(f'data_root={digits_folder}', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=2'),
        *(
            'train_dataloader.dataset.indices=8',
            'test_dataloader.dataset.indices=4',
            'val_dataloader.dataset.indices=4',
        ),
        'default_hooks.checkpoint.interval=1',
    )

    def call(sizes):
        detect(
            Path.cwd(), tmp_path / 'out.json', seeds=(3,), sizes=sizes, config_options=options,
            configs='configs/mask_rcnn_hire_mlp_t_digits.py', report=lines.append,
        )  # fmt: skip
        return read_records(tmp_path / 'out.json', FIELDS)[1]

    trained = tmp_path / 'out' / 'mask_rcnn_hire_mlp_t_digits_seed3' / 'training.json'
    first = call((160,))
    seconds = json.loads(trained.read_text())['seconds']
    assert call((160, 224))[0] == first[0]
    assert len(lines) == 2
    records = read_records(tmp_path / 'out.json', FIELDS)[1]
    assert [(r['policy'], r['size'], r['seed']) for r in records] == [
        ('size-free', 160, 3),
        ('size-free', 224, 3),
    ]
    assert all(r['seconds_train'] == seconds and r['network'] == 'HireMLP' for r in records)
    # mmengine saves the config of the run.
    config = next((trained.parent / 'size-free_224').glob('*.py')).read_text()
    assert re.search(r'scale=\(\s*224,\s*224,?\s*\)', config)
