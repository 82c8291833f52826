"""The program that makes parity data, on small networks of timm and one that is written here."""

import json
import sys

import pytest
import torch
from mmengine.registry import MODELS
from parity import official_checkpoint, official_state_dict, parity_cases

import mmvmlp
from development import make_parity_data
from development.parity_rules import images, thinned

BLOCKS = ('--modules', 'block0=blocks.0', 'block3=blocks.3', '--layout', 'tokens')
SOURCE = ('--source', 'written for a test')
NETWORK = """
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self, classes=None):
        super().__init__()
        self.stages = nn.ModuleList([nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 16, 2, 2)])
        self.register_buffer('step', torch.full((1,), 2.0))
        if classes:
            self.head = nn.Linear(16, classes)
        else:
            self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(16)])

    def forward(self, x):
        maps = []
        for stage in self.stages:
            x = stage(x) * self.step
            maps.append(x)
        if hasattr(self, 'head'):
            return self.head(x.mean((2, 3)))
        return [norm(x) for norm, x in zip(self.norms, maps)]
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Run the program, which writes into a folder; returns the folder."""

    def call(*arguments):
        monkeypatch.setattr(sys, 'path', [*sys.path])
        monkeypatch.setattr(sys, 'argv', ['', *arguments, '--out-dir', str(tmp_path)])
        make_parity_data.main()
        return tmp_path

    return call


@pytest.mark.parametrize(
    ('family', 'arch', 'module', 'call'),
    [
        (
            'MLPMixer',
            {'depth': 4, 'channels': 16, 'patch_size': 8, 'image_size': 32},
            'timm.models.mlp_mixer',
            'MlpMixer(img_size=32, patch_size=8, num_blocks=4, embed_dim=16, num_classes=5)',
        ),
        (
            'ResMLP',
            {'depth': 12, 'channels': 384, 'image_size': 32},
            'timm',
            "create_model('resmlp_12_224', img_size=32, num_classes=5)",
        ),
    ],
)
@torch.no_grad()
def test_our_networks_match_the_data_of_timms(make, family, arch, module, call):
    folder = make(
        *('network', '--module', module, '--classifier', call, *SOURCE),
        *('--logits', '32x32:0', '32x32:1', *BLOCKS, '--maps', '32x32:2'),
    )
    classifier = MODELS.build(
        {
            'type': 'mmpretrain.ImageClassifier',
            'backbone': {
                'type': f'mmvmlp.{family}',
                'arch': arch,
                'out_indices': (-1,),
                'out_norm': True,
            },
            'neck': {'type': 'mmpretrain.GlobalAveragePooling'},
            'head': {
                'type': 'mmpretrain.LinearClsHead',
                'num_classes': 5,
                'in_channels': arch['channels'],
            },
        }
    )
    classifier = classifier.double().eval()
    report = mmvmlp.load_checkpoint(classifier, official_checkpoint('network', folder=folder))
    assert not (report.missing or report.unexpected or report.mismatched)
    errors = {}
    for case in parity_cases(folder):
        if case.kind == 'logits':
            output = classifier(case.images())
        else:
            output = case.output_of_block(classifier.backbone)
        errors[case.name] = case.relative_error(output)
    assert len(errors) == 4
    assert max(errors.values()) < 1e-9, errors


@torch.no_grad()
def test_a_dense_backbone_adds_norms_and_constants_keep_their_values(make, tmp_path):
    file = tmp_path / 'network_of_a_paper.py'
    file.write_text(NETWORK)
    folder = make(
        *('network', '--module', str(file), '--classifier', 'Network(classes=5)', *SOURCE),
        *('--nested-under', 'model', '--constant-keys', '^step$'),
        *('--modules', 'feat1=stages.1', '--maps', '16x24:3'),
        *('--dense', 'Network()', '--levels', '8x16:4'),
    )
    described = json.loads((folder / 'network.json').read_text())
    assert described['ignored_keys'] == ['step']
    assert described['shapes']['stages.1.weight'] == [16, 8, 2, 2]
    assert 'norms.0.running_var' in described['extra_norm_shapes']
    assert 'norms.0.running_var' not in described['shapes']
    assert list(official_checkpoint('network', folder=folder)) == ['model']

    weights = official_state_dict('network', extra_norms=True, folder=folder)
    first, second = (
        [weights[f'stages.{stage}.{kind}'] for kind in ('weight', 'bias')] for stage in (0, 1)
    )
    cases = {case.name: case for case in parity_cases(folder)}
    assert list(cases) == ['feat1_16x24_seed3', 'normfeat0_8x16_seed4', 'normfeat1_8x16_seed4']
    x = torch.conv2d(images(1, 16, 24, 3), *first, stride=4) * 2
    expected = thinned(torch.conv2d(x, *second, stride=2))
    assert torch.equal(torch.from_numpy(cases['feat1_16x24_seed3'].expected()), expected)
    x = torch.conv2d(images(1, 8, 16, 4), *first, stride=4) * 2
    names = ('running_mean', 'running_var', 'weight', 'bias')
    normed = torch.batch_norm(
        x, *(weights[f'norms.0.{name}'] for name in (names[2], names[3], names[0], names[1])),
        training=False, momentum=0.0, eps=1e-5, cudnn_enabled=False,
    )  # fmt: skip
    assert cases['normfeat0_8x16_seed4'].relative_error(normed) < 1e-14


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (('--logits', '224'), "sample '224': HEIGHTxWIDTH:SEED is accepted"),
        ((), 'nothing is recorded'),
        (('--classifier', 'no_such()'), "call 'no_such()': a name of timm.models.mlp_mixer"),
        (('--classifier', 'MlpMixer'), "call 'MlpMixer': a name of"),
        (('--module', 'no/such.py'), "module 'no/such.py': there is no such file"),
        (('--modules', 'feat0=neck', '--maps', '16x16:0'), "module 'neck': the network has"),
        (('--modules', 'neck0=stem', '--maps', '16x16:0'), "map 'neck0': feat<level> and"),
    ],
)
def test_wrong_arguments_are_named(make, tmp_path, capsys, changed, message):
    call = 'MlpMixer(img_size=16, patch_size=8, num_blocks=1, embed_dim=4)'
    usual = ('network', '--module', 'timm.models.mlp_mixer', '--classifier', call, *SOURCE)
    with pytest.raises(SystemExit):
        make(*usual, *changed)
    assert capsys.readouterr().err.startswith(f'error: {message}')
    assert not list(tmp_path.glob('network.*'))
