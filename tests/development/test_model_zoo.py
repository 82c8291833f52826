"""The model index and the page of the model zoo."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine import fileio
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import init_default_scope

from development.model_zoo import write_model_zoo
from mmvmlp.analysis.complexity import SHAPES, count_complexity
from mmvmlp.build import resolve_name
from mmvmlp.config.loading import load_config

PAGE = Path('docs/model_zoo.md')
METAFILES = fileio.load('model-index.yml')['Import']
MODELS = [model for metafile in METAFILES for model in fileio.load(metafile)['Models']]
# Ends of the models' names by data set.
ENDINGS = {
    'COCO': '_coco',
    'ADE20K': '_ade20k',
    'Cityscapes': '_cityscapes',
    'PASCAL VOC': '_voc0712',
    'PASCAL VOC 2012': '_voc12aug',
    'LVIS v1': '_lvis-v1',
    'Objects365 v2': '_objects365v2',
}


def test_every_config_with_published_data_is_in_the_index_once():
    configs = {str(path) for path in Path('configs').glob('*.py')}
    configs = {config for config in configs if not config.endswith(('_digits.py', '_finetune.py'))}
    assert sorted(model['Config'] for model in MODELS) == sorted(configs)
    assert len({model['Name'] for model in MODELS}) == len(MODELS)


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_kept_counts_are_what_the_config_has(model):
    metadata = model['Metadata']
    if metadata['Training Data'] == 'ImageNet-1k':
        # Under this name mmpretrain lists it.
        network, distill, _ = Path(model['Config']).stem.partition('_distill')
        name = resolve_name(network.removeprefix('classify_'))
        assert model['Name'] == (f'{name}_distilled' if distill else name)
    else:
        assert model['Name'].endswith(ENDINGS[metadata['Training Data']])
    config = load_config(model['Config'])
    # Transformers are run, not only built; one network stands for the others.
    if re.match('(?!.*hire).*/(dino|mask2former)', model['Config']):
        init_default_scope(config.default_scope)
        with torch.device('meta'):
            built = REGISTRY.build(config.model)
        assert metadata['Parameters'] == sum(each.numel() for each in built.parameters())
        assert metadata['FLOPs'] > 0
        return
    parts = count_complexity(config, *SHAPES[config.default_scope])
    assert metadata['Parameters'] == sum(part.parameters for part in parts)
    assert metadata['FLOPs'] == sum(part.macs for part in parts)


@pytest.mark.parametrize(
    'model',
    [model for model in MODELS if 'Published' in model['Metadata']],
    ids=lambda model: model['Name'],
)
def test_published_counts_are_met_or_the_difference_is_explained(model):
    metadata, published = model['Metadata'], model['Metadata']['Published']
    assert published['Source']
    assert model['Results']
    for key, unit in (('Parameters', 1e6), ('FLOPs', 1e9)):
        if key not in published:
            continue
        # Half of the one digit behind the point that small figures are printed with is rounding.
        difference = abs(metadata[key] - published[key])
        is_met = difference <= max(0.01 * published[key], 0.05 * unit)
        assert is_met != (key in published.get('Notes', {})), key


def test_a_published_result_is_marked_as_not_ours():
    for model in MODELS:
        assert model['Metadata'].get('Retrained') is (False if 'Results' in model else None)


@pytest.fixture
def small_checkout(tmp_path):
    """Two models of the index, with counts that are wrong, and the page."""
    shutil.copytree('configs', tmp_path / 'configs')
    metafile = tmp_path / 'configs/metafiles/hire_mlp.yml'
    content = fileio.load(metafile)
    models = {model['Name']: model for model in content['Models']}
    content['Models'] = [models['hire_mlp_tiny'], models['retinanet_hire-mlp-s_fpn_1x_coco']]
    for model in content['Models']:
        model['Metadata'].update(Parameters=1, FLOPs=2)
    fileio.dump(content, metafile, sort_keys=False)
    fileio.dump({'Import': ['configs/metafiles/hire_mlp.yml']}, tmp_path / 'model-index.yml')
    shutil.copy(PAGE, tmp_path)
    return tmp_path


def test_counts_go_into_metafile_and_page(small_checkout):
    names = []
    page = small_checkout / PAGE.name
    write_model_zoo(small_checkout, page, names.append)
    assert names == ['hire_mlp_tiny', 'retinanet_hire-mlp-s_fpn_1x_coco']
    written = fileio.load(small_checkout / 'configs/metafiles/hire_mlp.yml')['Models']
    assert written[0]['Metadata']['Parameters'] == 18_041_672
    assert '| 18.04 | 18 (+0.2 %) | 2.14 | 2.1 (+2.1 %) | Top 1 Accuracy 79.7 |' in page.read_text()
    assert '| 42.85 | 42.8 (+0.1 %) | 237.06 | 237 (+0.0 %) | box AP 41.7 |' in page.read_text()


def test_the_page_has_the_kept_counts():
    page = PAGE.read_text()
    for model in MODELS:
        config, metadata = Path(model['Config']), model['Metadata']
        (row,) = re.findall(rf'^\| \[`{config.stem}`\].*$', page, re.MULTILINE)
        assert f'| {metadata["Parameters"] / 1e6:.2f} |' in row
        assert f'| {metadata["FLOPs"] / 1e9:.2f} |' in row
