"""``mmvmlp inspect-network`` on the small trained detector."""

import json

DETECTOR = (
    'configs/mask_rcnn_hire_mlp_nano_digits.py',
    '--checkpoint',
    'demo/mask_rcnn_hire_mlp_nano_digits.safetensors',
    '--images',
    'demo/digits.jpg',
    '--shape',
    96,
    128,
)


def test_detector_is_inspected(run, tmp_path):
    printed = run('tools/inspect_network.py', *DETECTOR, '--out-dir', tmp_path / 'new')
    assert {file.name for file in (tmp_path / 'new').iterdir()} == {
        'receptive_fields.png',
        'weights_over_depth.png',
        'feature_pyramid.png',
        'inspection.json',
    }
    contents = json.loads((tmp_path / 'new/inspection.json').read_text())
    assert contents['image_size'] == [96, 128]
    assert contents['images'] == ['digits.jpg']
    # The neck's maps, which the heads get.
    assert contents['pyramid'][:2] == [[40, 24, 32], [40, 12, 16]]
    for field in contents['receptive_fields']:
        assert f'{field["title"]} ' in printed
    assert 'split attention' in printed


def test_class_activation_of_a_detector_is_refused(run, tmp_path):
    printed = run(
        'tools/inspect_network.py',
        *DETECTOR,
        '--parts',
        'class-activation',
        '--out-dir',
        tmp_path / 'new',
        expect=1,
    )
    assert 'error: model is a MaskRCNN' in printed
