"""A checkpoint that is damaged, of another hash or of another model is found."""

import hashlib
import random
import shutil

import pytest
import torch

import mmvmlp
from mmvmlp.checkpoints import read_checkpoint, verify_checkpoint

DEMO = 'demo/mask_rcnn_hire_mlp_nano_digits.safetensors'
CONFIG = 'configs/mask_rcnn_hire_mlp_nano_digits.py'


@pytest.fixture(scope='module')
def contents():
    return {'state_dict': mmvmlp.HireMLP(mmvmlp.HireMLP.small_arch).state_dict(), 'epoch': 3}


@pytest.fixture
def file(tmp_path, contents):
    torch.save(contents, tmp_path / 'trained.pth')
    return tmp_path / 'trained.pth'


def flip(file, position):
    damaged = bytearray(file.read_bytes())
    damaged[position // 8] ^= 1 << position % 8
    file.write_bytes(damaged)


def test_a_flipped_bit_of_a_weight_is_found(file, contents):
    weight = contents['state_dict']['stem.conv.weight'].numpy().tobytes()
    flip(file, 8 * file.read_bytes().index(weight) + 13)
    with pytest.raises(mmvmlp.CheckpointError, match=r"/data/\d+' differs from its CRC-32 sum"):
        mmvmlp.load_checkpoint(mmvmlp.HireMLP(mmvmlp.HireMLP.small_arch), file)


def test_no_flipped_bit_changes_what_is_read(file, contents):
    whole, bits = file.read_bytes(), random.Random(0)
    found = 0
    for _ in range(60):
        file.write_bytes(whole)
        flip(file, bits.randrange(8 * len(whole)))
        try:
            read = read_checkpoint(file)
        except mmvmlp.CheckpointError:
            found += 1
        else:
            # Between the records of the archive are unused bytes.
            torch.testing.assert_close(read, contents, rtol=0, atol=0)
    assert found > 20


def test_files_without_sums_are_read(file, contents):
    with_sums = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(contents, file)
    finally:
        torch.serialization.set_crc32_options(with_sums)
    assert read_checkpoint(file)['epoch'] == 3
    torch.save(contents, file, _use_new_zipfile_serialization=False)
    assert read_checkpoint(file)['epoch'] == 3


def test_hashes_that_are_known_are_compared(tmp_path, file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    good, bad = (tmp_path / f'trained-{start}.pth' for start in (digest[:8], '01234567'))
    for copy in (good, bad):
        shutil.copy(file, copy)
    assert verify_checkpoint(good).hash_sources == ('its name',)
    assert not verify_checkpoint(file, sha256=digest.upper()[:12]).problems
    for wrong, options in ((bad, {}), (good, {'sha256': 'f' * 64})):
        (problem,) = verify_checkpoint(wrong, **options).problems
        assert f'its SHA-256 is {digest}, but ' in problem
    (tmp_path / 'trained.pth.sha256').write_text(f'{"0" * 64}  trained.pth\n')
    assert 'trained.pth.sha256 has 000' in verify_checkpoint(file).problems[0]
    with pytest.raises(ValueError, match='8 to 64 hexadecimal digits'):
        verify_checkpoint(file, sha256='abc')


def test_the_command_reports_and_fails_when_anything_is_wrong(tmp_path, run):
    shown = run('tools/verify.py', DEMO, '--config', CONFIG)
    assert 'nothing wrong was found' in shown
    assert '392 tensors, 710,071 values, all finite' in shown
    foreign = 'configs/mask_rcnn_smlpnet_digits.py'
    shown = run('tools/verify.py', DEMO, '--config', foreign, expect=1)
    assert 'wrong: checkpoint is of another network' in shown or 'does not fit' in shown
    shown = run(
        *('tools/verify.py', DEMO, '--config', CONFIG, '--cfg-options'),
        *('model.roi_head.bbox_head.num_classes=3', 'model.roi_head.mask_head.num_classes=3'),
        expect=1,
    )
    assert 'does not cover this MaskRCNN' in shown
    not_finite = mmvmlp.HireMLP(mmvmlp.HireMLP.small_arch).state_dict()
    not_finite['stem.conv.bias'][0] = torch.nan
    torch.save(not_finite, tmp_path / 'nan.pth')
    shown = run('tools/verify.py', tmp_path / 'nan.pth', expect=1)
    assert "wrong: checkpoint '" in shown and "'stem.conv.bias' has values that are" in shown
    assert 'does not exist' in run('tools/verify.py', tmp_path / 'none.pth', expect=1)


def test_the_network_is_recognised_and_a_backbone_alone_covers_its_config(tmp_path, run):
    backbone = mmvmlp.build_backbone('raft_mlp_s')
    torch.save(backbone.state_dict(), tmp_path / 'raft.pth')
    config = 'configs/classify_raft_mlp_s.py'
    shown = run('tools/verify.py', tmp_path / 'raft.pth', '--config', config)
    assert 'network   raft_mlp_s, mmvmlp' in shown
    assert 'missing in the checkpoint: backbone.norm3.weight' in shown
