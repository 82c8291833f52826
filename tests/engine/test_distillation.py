"""Classifiers that learn from a frozen teacher, trained for some steps by mmengine's runner."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from parity import official_state_dict

from mmvmlp.checkpoints import CheckpointError, read_checkpoint
from mmvmlp.engine.distillation import hard_distillation_loss, soft_distillation_loss

CLASSES, SIZE = 5, 32
IMAGENET = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'to_rgb': True}
BACKBONE = {
    'type': 'mmvmlp.S2MLP',
    'arch': {'depth': 4, 'channels': 8, 'patch_size': 8},
    'out_indices': (-1,),
}
HEAD = {'type': 'mmpretrain.LinearClsHead', 'num_classes': CLASSES, 'in_channels': 8}
TEACHER = {
    'type': 'mmpretrain.ImageClassifier',
    'data_preprocessor': {'mean': [127.5] * 3, 'std': [64.0] * 3},
    'backbone': {'type': 'mmpretrain.MobileNetV2', 'widen_factor': 0.25},
    'neck': {'type': 'mmpretrain.GlobalAveragePooling'},
    'head': {**HEAD, 'in_channels': 1280},
}


@pytest.fixture
def teacher(tmp_path):
    """Return settings of a teacher with other normalisation and channel order, and its weights."""
    return save_teacher(tmp_path / 'teacher.py', TEACHER)


def save_teacher(file: Path, model):
    file.write_text(f"default_scope = 'mmpretrain'\nmodel = {model!r}\n")
    init_default_scope('mmpretrain')
    torch.manual_seed(1)
    network = MODELS.build(copy.deepcopy(model))
    torch.save({'state_dict': network.state_dict()}, file.with_suffix('.pth'))
    return {'model': str(file), 'checkpoint': str(file.with_suffix('.pth'))}


def student_config(teacher, **changed):
    return {
        'type': 'mmvmlp.DistilledClassifier',
        'data_preprocessor': {'num_classes': CLASSES, **IMAGENET},
        'backbone': copy.deepcopy(BACKBONE),
        'neck': {'type': 'mmpretrain.GlobalAveragePooling'},
        'head': dict(HEAD),
        'teacher': teacher,
        **changed,
    }


def built(teacher, **changed):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(student_config(teacher, **changed))
    model.init_weights()
    return model


def raw_batch(images=4):
    torch.manual_seed(2)
    return {
        'inputs': torch.randint(0, 256, (images, 3, SIZE, SIZE), dtype=torch.uint8),
        'data_samples': [DataSample().set_gt_label(i % CLASSES) for i in range(images)],
    }


def trained_network(teacher):
    """Return the teacher by itself."""
    init_default_scope('mmpretrain')
    network = MODELS.build(copy.deepcopy(TEACHER))
    network.load_state_dict(torch.load(teacher['checkpoint'])['state_dict'])
    return network.eval()


def test_losses_are_the_literal_formulas():
    torch.manual_seed(0)
    student, teacher = (torch.randn(6, CLASSES, dtype=torch.float64) for _ in range(2))
    hard = soft = 0.0
    tau = 2.5
    for z_s, z_t in zip(student.tolist(), teacher.tolist(), strict=True):
        log_p = torch.tensor(z_s).softmax(0).log()
        hard -= log_p[z_t.index(max(z_t))].item() / 6
        p_s, p_t = (torch.tensor(z).div(tau).softmax(0) for z in (z_s, z_t))
        soft += tau**2 * sum(p_t * (p_t / p_s).log()).item() / 6
    assert hard_distillation_loss(student, teacher).item() == pytest.approx(hard, rel=1e-5)
    assert soft_distillation_loss(student, teacher, tau).item() == pytest.approx(soft, rel=1e-5)
    assert soft_distillation_loss(teacher, teacher, tau).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('augments', [None, [{'type': 'Mixup', 'alpha': 0.8}]])
@pytest.mark.parametrize(
    ('settings', 'alpha'),
    [
        ({}, 0.5),
        ({'distillation': 'soft'}, 0.1),
        ({'distillation': 'soft', 'alpha': 0.7, 'tau': 2.0}, 0.7),
    ],
)
def test_labels_and_teacher_share_the_loss(teacher, settings, alpha, augments):
    train_cfg = {'augments': augments} if augments else None
    model = built(teacher, train_cfg=train_cfg, **settings).train()
    data = model.data_preprocessor(raw_batch(), training=True)
    losses = model(**data, mode='loss')
    total, logged = model.parse_losses(losses)
    with torch.no_grad():
        logits = model(data['inputs'])
        of_labels = model.head.loss(model.extract_feat(data['inputs']), data['data_samples'])
        # The teacher's own preprocessing: BGR, and a mean and a deviation for all channels.
        mean, std = (torch.tensor(IMAGENET[key]).view(3, 1, 1) for key in ('mean', 'std'))
        theirs = ((data['inputs'] * std + mean).flip(1) - 127.5) / 64
        of_teacher = trained_network(teacher)(theirs)
    if settings:
        expected = soft_distillation_loss(logits, of_teacher, settings.get('tau', 3.0))
    else:
        expected = hard_distillation_loss(logits, of_teacher)
    assert losses['label_loss'].item() == pytest.approx((1 - alpha) * of_labels['loss'].item())
    # A difference of logarithms near 1: float32 leaves an absolute error.
    assert losses['distillation_loss'].item() == pytest.approx(
        alpha * expected.item(), rel=1e-4, abs=1e-7
    )
    assert logged['loss'] == total == sum(losses.values())


def test_images_are_those_that_the_teachers_own_preprocessor_makes(teacher):
    model = built(teacher)
    raw = raw_batch()
    seen = []
    model.teacher.network.forward = lambda images: seen.append(images) or torch.zeros(4, CLASSES)
    model.loss(**model.data_preprocessor(copy.deepcopy(raw)))
    own = trained_network(teacher).data_preprocessor(raw)['inputs']
    torch.testing.assert_close(seen[0], own, rtol=0, atol=1e-5)
    model.teacher.image_size = 48
    model.loss(**model.data_preprocessor(copy.deepcopy(raw)))
    assert seen[1].shape == (4, 3, 48, 48)


def test_teacher_is_no_part_of_the_model_and_stays_as_it_is(teacher):
    model = built(teacher).train()
    plain = student_config(teacher, type='mmpretrain.ImageClassifier')
    del plain['teacher']
    assert model.state_dict().keys() == MODELS.build(plain).state_dict().keys()
    network = model.teacher.network
    before = copy.deepcopy(network.state_dict())
    optimizer = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
    wrapper = build_optim_wrapper(model, optimizer)
    in_optimizer = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert in_optimizer == {id(parameter) for parameter in model.parameters()}
    assert not in_optimizer & {id(parameter) for parameter in network.parameters()}
    student = copy.deepcopy(model.state_dict())
    model.train_step(raw_batch(), wrapper)
    assert not any(torch.equal(model.state_dict()[key], student[key]) for key in student)
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(network.state_dict()[key], before[key]) for key in before)
    assert all(parameter.grad is None for parameter in network.parameters())
    # A copy, such as that of averaged weights, shares it.
    assert copy.deepcopy(model).teacher is model.teacher


def test_testing_needs_no_teacher():
    init_default_scope('mmpretrain')
    model = MODELS.build(student_config({'model': 'unknown', 'checkpoint': 'missing.pth'}))
    assert len(model.test_step(raw_batch())) == 4


def test_autocast_gives_finite_losses_of_float32(teacher):
    model = built(teacher, distillation='soft').train()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(**model.data_preprocessor(raw_batch()), mode='loss')
    assert losses['distillation_loss'].dtype == torch.float32
    model.parse_losses(losses)[0].backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_every_parameter_takes_part_in_parallel_training(teacher):
    model = built(teacher)
    torch.distributed.init_process_group(
        'gloo', store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        parallel = MMDistributedDataParallel(model)
        wrapper = build_optim_wrapper(parallel, {'optimizer': {'type': 'SGD', 'lr': 0.1}})
        # A parameter without a gradient in the first step is an error in the second.
        for _ in range(2):
            assert parallel.train_step(raw_batch(), wrapper)['loss'].isfinite()
    finally:
        torch.distributed.destroy_process_group()


class Images(torch.utils.data.Dataset):
    """Eight images."""

    metainfo = {}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        batch = raw_batch(8)
        return {key: values[index] for key, values in batch.items()}


def run(teacher, work_dir, epochs, resume=False):
    runner = Runner(
        model=student_config(teacher),
        work_dir=str(work_dir),
        train_dataloader={
            'dataset': Images(),
            'batch_size': 4,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 1e-2}},
        custom_hooks=[
            {'type': 'EMAHook', 'momentum': 0.1},
            {'type': 'mmvmlp.StrictCheckpointHook'},
        ],
        default_scope='mmpretrain',
        experiment_name=f'{work_dir.name}_{epochs}_{resume}',
        randomness={'seed': 0},
        resume=resume,
        log_level='WARNING',
    )
    runner.train()
    return runner.model


def test_training_resumes_to_the_same_weights_without_a_teacher_in_the_file(teacher, tmp_path):
    whole = run(teacher, tmp_path / 'whole', epochs=2)
    run(teacher, tmp_path / 'parts', epochs=1)
    contents = read_checkpoint(tmp_path / 'parts' / 'epoch_1.pth')
    own = {key.partition('.')[0] for key in contents['state_dict']}
    averaged = {key.removeprefix('module.') for key in contents['ema_state_dict']}
    assert own == {'backbone', 'head'}
    assert averaged == {*contents['state_dict'], 'steps'}
    parts = run(teacher, tmp_path / 'parts', epochs=2, resume=True)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[key]), key


@pytest.mark.parametrize(
    'settings',
    [
        None,
        {'model': 'timm/resnet10t'},
        {'model': 'timm/resnet10t', 'checkpoint': None},
        {'model': '', 'checkpoint': False},
        {'model': 'timm/resnet10t', 'checkpoint': ''},
        {'model': 'timm/resnet10t', 'checkpoint': False, 'image_size': 0},
        {'model': 'timm/resnet10t', 'checkpoint': False, 'weights': 'x.pth'},
    ],
)
def test_weights_of_a_teacher_must_be_named(settings):
    with pytest.raises(TypeError, match=r'teacher=.*checkpoint=FILE, or True for published'):
        MODELS.build(student_config(settings))


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'distillation': 'token'}, "'token': 'hard' and 'soft'"),
        ({'alpha': 0}, 'alpha=0: a number above 0'),
        ({'alpha': 1.5}, 'alpha=1.5'),
        ({'tau': 2.0}, "tau=2.0: .* with distillation='soft' only"),
        ({'distillation': 'soft', 'tau': -1.0}, 'tau=-1.0'),
        ({'data_preprocessor': BaseDataPreprocessor()}, 'the student has'),
    ],
)
def test_invalid_arguments_are_named(teacher, changed, message):
    init_default_scope('mmpretrain')
    with pytest.raises(ValueError, match=message):
        MODELS.build(student_config(teacher, **changed))


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        ({'model': 'resnet5000', 'checkpoint': True}, ValueError, "'resnet5000' is unknown"),
        ({'model': 'timm/resnet5000', 'checkpoint': True}, ValueError, 'no such model'),
        ({'model': 'timm/resnet10t.none', 'checkpoint': True}, ValueError, 'no such model'),
        ({'model': 'timm/resnet9', 'checkpoint': False}, ValueError, 'no such model'),
        ({'model': 'missing.py', 'checkpoint': False}, FileNotFoundError, 'missing.py'),
        ({'model': 'timm/darknet17', 'checkpoint': True}, ValueError, 'no published weights'),
        ({'model': 'hire_mlp_large', 'checkpoint': True}, ValueError, 'no published weights'),
        ({'model': 'timm/resnet10t', 'checkpoint': 'none.pth'}, FileNotFoundError, 'none.pth'),
    ],
)
def test_teachers_that_cannot_be_loaded_end_the_run_at_its_start(settings, error, message):
    with pytest.raises(error, match=message):
        built(settings)


def test_published_weights_of_our_networks_make_a_teacher(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVMLP_WEIGHTS', str(tmp_path))
    official = official_state_dict('hire_mlp_tiny')
    torch.save({'model': official}, tmp_path / 'hire_mlp_tiny.pth')
    model = built({'model': 'hire_mlp_tiny', 'checkpoint': True})
    bias = model.teacher.network.head.fc.bias
    torch.testing.assert_close(bias.double(), official['head.bias'], rtol=1e-6, atol=1e-6)


def test_checkpoint_of_another_classifier_is_refused(teacher, tmp_path):
    ten = save_teacher(
        tmp_path / 'ten.py', {**TEACHER, 'head': {**TEACHER['head'], 'num_classes': 10}}
    )
    with pytest.raises(CheckpointError, match='does not fit the whole teacher'):
        built({**teacher, 'checkpoint': ten['checkpoint']})
    with pytest.raises(CheckpointError, match='does not fit the whole teacher'):
        built({'model': 'timm/resnet10t', 'checkpoint': ten['checkpoint']})
    model = built(ten)
    data = model.data_preprocessor(raw_batch())
    with pytest.raises(ValueError, match='has 10 classes, the student 5'):
        model.loss(**data)


def test_one_of_our_classifiers_teaches_only_with_its_head(tmp_path):
    ours = {**TEACHER, 'backbone': BACKBONE, 'head': HEAD}
    settings = save_teacher(tmp_path / 'ours.py', ours)
    weights = torch.load(settings['checkpoint'])['state_dict']
    network = built(settings).teacher.network
    assert torch.equal(network.state_dict()['head.fc.weight'], weights['head.fc.weight'])
    backbone = {key: tensor for key, tensor in weights.items() if key.startswith('backbone.')}
    torch.save({'state_dict': backbone}, settings['checkpoint'])
    with pytest.raises(CheckpointError, match=r'missing in the checkpoint: head\.fc'):
        built(settings)


def test_timm_classifier_teaches_from_a_file(tmp_path):
    import timm

    network = timm.create_model('resnet10t', num_classes=CLASSES)
    torch.save(network.state_dict(), tmp_path / 'resnet.pth')
    model = built({'model': 'timm/resnet10t', 'checkpoint': str(tmp_path / 'resnet.pth')})
    data = model.data_preprocessor(raw_batch())
    found = model.teacher.logits(data['inputs'], model.normalization)
    # timm normalises as the student does.
    torch.testing.assert_close(found, network.eval()(data['inputs']), rtol=1e-4, atol=1e-5)
