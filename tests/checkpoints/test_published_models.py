"""ConvMLP's detectors and segmentors, as mmdet 2 and mmseg 0 saved them, load into ours."""

import re
from types import SimpleNamespace

import pytest
import torch
from leaf_configs import CONFIGS
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.runner import load_checkpoint as load_with_mmengine
from mmseg.structures import SegDataSample
from parity import official_state_dict

import mmvmlp
from mmvmlp import ConvMLP
from mmvmlp.checkpoints import check_starting_checkpoint, check_trained_checkpoint
from mmvmlp.checkpoints.published import FOLDER_VARIABLE
from mmvmlp.cli import test as test_command
from mmvmlp.config.loading import load_config
from mmvmlp.engine import StrictCheckpointHook
from mmvmlp.inference.trained_model import load_trained_model

METHODS = ('mask_rcnn', 'retinanet', 'sem_fpn')
CONFIG = {
    method: next(path for path in CONFIGS if path.stem == f'{method}_conv_mlp_s')
    for method in METHODS
}
CHANNELS = [ConvMLP.small_arch['channels'] * 2**level for level in range(4)]
LAYERS = {'expand': 0, 'local': 3, 'reduce': 6}
PARTS = {'conv': 0, 'norm': 1}


def small_config(method, options=None, **backbone):
    """Return the published model's config with a narrow network, and narrow layers after it."""
    config = load_config(CONFIG[method], options)
    levels = config.model.backbone.get('out_indices', range(4))
    config.model.backbone.update(arch=dict(ConvMLP.small_arch), **backbone)
    config.model.neck.update(in_channels=[CHANNELS[level] for level in levels], out_channels=8)
    if method == 'sem_fpn':
        config.model.decode_head.update(in_channels=[8] * 4, channels=8)
    for head in ('rpn_head', 'bbox_head') if method != 'sem_fpn' else ():
        if head in config.model:
            config.model[head].update(in_channels=8, feat_channels=8)
    if method == 'mask_rcnn':
        # 80 classes share what the background leaves.
        config.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)
        roi = config.model.roi_head
        roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 8
        roi.bbox_head.update(in_channels=8, fc_out_channels=16)
        roi.mask_head.update(in_channels=8, conv_out_channels=8)
    return config


def build(method, seed, **backbone):
    config = small_config(method, **backbone)
    init_default_scope(config.default_scope)
    torch.manual_seed(seed)
    model = MODELS.build(config.model)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(*((0.5, 1.5) if name.endswith('running_var') else (-0.2, 0.2)))
    return model.eval()


def official_name(name):
    """Return what the official backbone calls a tensor of ours."""
    first, *rest = name.split('.')
    if first == 'stem':
        position = 6 if rest[0] != 'before' else 3 * int(rest[1])
        kind, tensor = rest[-2:]
        return f'tokenizer.block.{position + PARTS[kind]}.{tensor}'
    stage, part, *rest = rest
    if part == 'downsample' and stage == '1':
        return f'conv_stages.downsample.{rest[0]}'
    if part == 'downsample':
        return f'stages.{int(stage) - 2}.downsample_mlp.downsample.{rest[0]}'
    if stage == '0':
        block, layer, kind, tensor = rest
        return f'conv_stages.conv_blocks.{block}.{LAYERS[layer] + PARTS[kind]}.{tensor}'
    block, layer, *rest = rest
    layer = {'local': 'connect', 'local_norm': 'connect_norm'}.get(layer, layer)
    return '.'.join([f'stages.{int(stage) - 1}.blocks.{block}', layer, *rest])


def published(model):
    """Return a model's file as mmdet 2 and mmseg 0 write it, with their backbone's names."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        start, own = re.fullmatch(r'(backbone\.)?(.*)', name).groups()
        if start and re.search(r'channel_mlp\d\.fc\d\.weight$', own):
            tensor = tensor.flatten(1)
        tensors[start + official_name(own) if start else name] = tensor
    return {
        'meta': {'mmdet_version': '2.16.0', 'CLASSES': ('one', 'two'), 'epoch': 12, 'iter': 87960},
        'state_dict': tensors,
        'optimizer': {'state': {}, 'param_groups': []},
    }


def predicted(model):
    """Return the boxes and scores for an image, or the scores of the classes of its pixels."""
    sample = SegDataSample if hasattr(model, 'decode_head') else DetDataSample
    size = {'img_shape': (64, 96), 'ori_shape': (64, 96), 'scale_factor': (1.0, 1.0)}
    image = torch.arange(3 * 64 * 96).reshape(3, 64, 96).remainder(251).byte()
    (found,) = model.test_step({'inputs': [image], 'data_samples': [sample(metainfo=size)]})
    if isinstance(found, SegDataSample):
        return found.seg_logits.data
    assert len(found.pred_instances)
    return torch.cat([found.pred_instances.bboxes, found.pred_instances.scores[:, None]], 1)


def same_tensors(model, other):
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())


def test_names_of_the_map_are_those_of_the_official_network():
    names = {official_name(name) for name in mmvmlp.build_backbone('conv_mlp_s').state_dict()}
    expected = {name for name in official_state_dict('conv_mlp_s') if name[:5] not in HEAD}
    assert names == expected


HEAD = ('norm.', 'head.')


@pytest.mark.parametrize('method', METHODS)
@torch.no_grad()
def test_published_models_load_completely(method, tmp_path):
    trained, by_call, by_toolbox = build(method, 0), build(method, 1), build(method, 2)
    file = tmp_path / 'published.pth'
    torch.save(published(trained), file)
    assert not same_tensors(trained, by_call)
    report = mmvmlp.load_checkpoint(by_call, file)
    assert not (report.missing or report.unexpected or report.mismatched)
    assert same_tensors(trained, by_call)
    # As `load_from` and the toolboxes' inferencers do.
    load_with_mmengine(by_toolbox, str(file), strict=True)
    assert same_tensors(trained, by_toolbox)
    by_config = load_trained_model(small_config(method), file, 'cpu')
    assert torch.equal(predicted(by_config), predicted(trained))
    assert by_config.dataset_meta['classes'] == ('one', 'two')


@pytest.mark.parametrize('method', METHODS)
def test_their_backbone_alone_loads(method):
    trained = build(method, 0)
    backbone = ConvMLP(ConvMLP.small_arch)
    mmvmlp.load_checkpoint(backbone, published(trained))
    assert same_tensors(backbone, trained.backbone)


@pytest.mark.parametrize(
    ('method', 'change', 'named'),
    [
        ('mask_rcnn', {'out_norm': True}, r'missing in the checkpoint: backbone\.norm0\.weight'),
        ('retinanet', {}, 'unexpected in the checkpoint: '),
        ('sem_fpn', {}, 'unexpected in the checkpoint: '),
    ],
)
def test_models_of_other_structure_are_refused(method, change, named):
    model = build(method, 1, **change)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    contents = published(build('mask_rcnn', 0))
    with pytest.raises(mmvmlp.CheckpointError, match=rf'(?s)model\.backbone to take.*{named}'):
        mmvmlp.load_checkpoint(model, contents)
    with pytest.raises(mmvmlp.CheckpointError, match=f'(?s)another config.*{named}'):
        check_trained_checkpoint(model, contents, 'published.pth')
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('part', ['backbone', 'bbox_head'])
@pytest.mark.parametrize('damage', ['shape', 'missing', 'foreign'])
def test_damaged_files_are_refused(part, damage):
    model, contents = build('retinanet', 0), published(build('retinanet', 0))
    tensors = contents['state_dict']
    key = next(key for key in reversed(tensors) if key.startswith(part) and key.endswith('weight'))
    if damage == 'shape':
        tensors[key] = tensors[key][:-1]
    else:
        moved = tensors.pop(key)
        if damage == 'foreign':
            tensors[key] = moved
            tensors[f'{part}.foreign.weight'] = moved
    with pytest.raises(mmvmlp.CheckpointError, match='nothing was loaded'):
        mmvmlp.load_checkpoint(model, contents)
    with pytest.raises(mmvmlp.CheckpointError, match='is it for another config'):
        check_trained_checkpoint(model, contents, 'published.pth')


def test_training_starts_from_them_with_other_classes():
    contents = published(build('retinanet', 0))
    config = small_config('retinanet')
    config.model.bbox_head.num_classes = 3
    init_default_scope('mmdet')
    model = MODELS.build(config.model)
    check_starting_checkpoint(model, contents, 'published.pth')
    del contents['state_dict']['backbone.stages.2.blocks.0.connect.weight']
    with pytest.raises(mmvmlp.CheckpointError, match=r'backbone\.stages\.3\.blocks\.0\.local\.w'):
        check_starting_checkpoint(model, contents, 'published.pth')


def test_their_training_cannot_be_resumed():
    model = build('retinanet', 0)
    runner = SimpleNamespace(model=model, _resume=True, _load_from='published.pth')
    with pytest.raises(mmvmlp.CheckpointError, match="'published.pth' has no state of a training"):
        StrictCheckpointHook().after_load_checkpoint(runner, published(model))


def test_names_take_the_files(tmp_path, coco_named_folder, monkeypatch):
    name, config = 'retinanet_conv_mlp_s.coco', tmp_path / 'small.py'
    trained, model = build('retinanet', 0), build('retinanet', 1)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    torch.save(published(trained), tmp_path / mmvmlp.find_weights(name).file_name)
    mmvmlp.load_checkpoint(model, name)
    assert same_tensors(trained, model)
    backbone = ConvMLP(ConvMLP.small_arch)
    mmvmlp.load_checkpoint(backbone, name)
    assert same_tensors(backbone, trained.backbone)
    loaded = CheckpointLoader.load_checkpoint(f'mmvmlp://{name}')['state_dict']
    assert loaded.keys() == published(trained)['state_dict'].keys()

    options = {'test_dataloader.dataset.pipeline.1.scale': (96, 96)}
    small_config('retinanet', options).dump(config)
    command = ['test.py', config, name, '--data-root', coco_named_folder, '--work-dir', tmp_path]
    monkeypatch.setattr('sys.argv', [*map(str, command), '--out', str(tmp_path / 'metrics.json')])
    assert test_command.main() == 0
    assert 'coco/bbox_mAP' in (tmp_path / 'metrics.json').read_text()
