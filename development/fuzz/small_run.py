"""The config and the data of a small detector, on which configs and annotations are tried."""

from pathlib import Path

from mmvmlp.datasets.digit_scenes import make_digit_scenes

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
_base_ = '{root}/configs/mask_rcnn_hire_mlp_nano_digits.py'
channels = [8, 12, 16, 20]
model = dict(
    backbone=dict(arch=dict(_delete_=True, depths=(1, 1, 1, 1), channels=channels)),
    neck=dict(in_channels=channels),
)
# Collecting garbage for each data set takes longer than the rest.
train_dataloader = dict(batch_size=2, dataset=dict(serialize_data=False))
val_dataloader = dict(dataset=dict(serialize_data=False))
test_dataloader = val_dataloader
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=2)]
"""


def write_small_run(folder: Path) -> tuple[Path, Path]:
    """Write a config and its data.

    Args:
        folder: Empty folder.

    Returns:
        The config file and the data folder.
    """
    data = make_digit_scenes(folder / 'data', train=4, val=2, size=64, progress=False)
    config = folder / 'config.py'
    config.write_text(CONFIG.format(root=ROOT))
    return config, data
