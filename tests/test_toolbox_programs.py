"""The toolboxes' own programs on our configs, inherited in an empty folder, on small data."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mmvmlp.checkpoints import read_checkpoint
from mmvmlp.datasets.digit_scenes import make_digit_scenes

LOADER = 'loader = dict(batch_size=2, num_workers=0, persistent_workers=False)'
DETECTOR = f"""
{LOADER}
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2].scale = test_pipeline[1].scale = (96, 64)
train_dataloader = dict(**loader, dataset=dict(data_root='data/', pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(data_root='data/', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/annotations/instances_val2017.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
model = dict(
    train_cfg=dict(rcnn=dict(sampler=dict(num=32))), test_cfg=dict(rpn=dict(max_per_img=100))
)
"""
SEGMENTOR = f"""
{LOADER}
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2].scale = test_pipeline[1].scale = (256, 64)
train_pipeline[3].crop_size = (64, 64)
model = dict(data_preprocessor=dict(size=(64, 64)))
train_dataloader = dict(**loader, dataset=dict(data_root='data/', pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(data_root='data/', pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=1, val_interval=1)
"""
CLASSIFIER = f"""
{LOADER}
data = dict(_delete_=True, type='CustomDataset', data_root='data/')
train_data = dict(data, data_prefix='train', pipeline=_base_.train_pipeline)
val_data = dict(data, data_prefix='val', pipeline=_base_.test_pipeline)
sampler = dict(type='DefaultSampler', _delete_=True)
train_dataloader = dict(**loader, dataset=train_data, sampler=sampler)
val_dataloader = dict(**loader, dataset=val_data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
"""
CASES = {
    'mmdet': ('mask_rcnn_hire_mlp_t.py', DETECTOR, 'coco', 'epoch_1.pth'),
    'mmseg': ('sem_fpn_hire_mlp_t.py', SEGMENTOR, 'ade', 'iter_1.pth'),
    'mmpretrain': ('classify_hire_mlp_t.py', CLASSIFIER, 'imagenet', 'epoch_1.pth'),
}


@pytest.fixture
def program(monkeypatch):
    """Run a program of a toolbox in this process, as it would run in one of its own."""

    def run(toolbox, name, *arguments):
        tools = Path(find_spec(toolbox).origin).parent / '.mim/tools'
        folders = ('', 'analysis_tools', 'visualization')
        path = next(tools / folder / name for folder in folders if (tools / folder / name).exists())
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
        monkeypatch.syspath_prepend(path.parent)
        runpy.run_path(str(path), run_name='__main__')

    return run


@pytest.mark.slow
@pytest.mark.parametrize('toolbox', CASES)
def test_train_test_count_and_browse(tmp_path, monkeypatch, capfd, program, toolbox):
    monkeypatch.chdir(tmp_path)
    name, own, layout, checkpoint = CASES[toolbox]
    options = {'categories': 'coco80'} if layout == 'coco' else {}
    size = 64 if layout == 'imagenet' else (96, 128)
    count = 10 if layout == 'imagenet' else 2
    make_digit_scenes('data', layout, count, count, size, progress=False, **options)
    Path('own.py').write_text(f"_base_ = 'mmvmlp::{name}'\n{own}")

    program(toolbox, 'train.py', 'own.py', '--work-dir', 'work')
    assert read_checkpoint(f'work/{checkpoint}')['state_dict']
    assert b'sha256:' in Path(f'work/{checkpoint}').read_bytes()[-100:]
    capfd.readouterr()
    program(toolbox, 'test.py', 'own.py', f'work/{checkpoint}', '--work-dir', 'tested')
    printed = capfd.readouterr()
    assert '(test)' in printed.out + printed.err
    images = ['--num-images', '1'] if toolbox == 'mmdet' else ['--shape', '64', '64']
    program(toolbox, 'get_flops.py', 'own.py', *images)
    assert 'Params' in capfd.readouterr().out
    option = '--not-show' if toolbox != 'mmpretrain' else '--show-number=2'
    program(toolbox, 'browse_dataset.py', 'own.py', '--output-dir', 'browsed', option)
    assert len([path for path in Path('browsed').rglob('*.*') if path.is_file()]) == 2
