"""Small models of each toolbox, and their exports: tracing takes as long as there are blocks."""

import textwrap
from pathlib import Path

from untrained import save_untrained

ROOT = Path(__file__).parents[1]
ARCH = {'depth': 4, 'channels': 16, 'patch_size': 8}
PYRAMID = "dict(type='mmvmlp.SimplePyramid', in_channels=16, stride=8)"
BACKBONE = f"dict(_delete_=True, type='mmvmlp.S2MLP', arch={ARCH}, out_indices=(-1,))"
CHANNELS = [8, 16, 16, 16]
CONFIGS = {
    'classifier': f"""
        _base_ = '{ROOT}/configs/classify_s2_mlp_deep.py'
        model = dict(backbone={BACKBONE}, head=dict(in_channels=16, num_classes=7))
    """,
    'segmentor': f"""
        _base_ = '{ROOT}/configs/upernet_s2_mlp_wide.py'
        model = dict(
            backbone={BACKBONE},
            neck=dict(in_channels=16, stride=8),
            decode_head=dict(in_channels={CHANNELS}, channels=8, num_classes=7),
            auxiliary_head=dict(in_channels=16, num_classes=7),
        )
    """,
    'detector': f"""
        _base_ = '{ROOT}/configs/mask_rcnn_s2_mlp_digits.py'
        pyramid = {PYRAMID}
        fpn = dict(type='FPN', in_channels={CHANNELS}, out_channels=64, num_outs=4)
        model = dict(backbone={BACKBONE}, neck=[pyramid, fpn])
    """,
}


def save_model(kind, folder):
    """Write a config and a checkpoint with random weights, and return both files."""
    config, checkpoint = folder / f'{kind}.py', folder / f'{kind}.pth'
    if not checkpoint.exists():
        config.write_text(textwrap.dedent(CONFIGS[kind]))
        save_untrained(config, checkpoint, classes=list('abcdefg'))
    return config, checkpoint
