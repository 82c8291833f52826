# The detector in demo/: small enough for the repository, trained for longer and on more scenes than
# the other detectors of digits. docs/digit_scenes.md has the commands.
_base_ = '_base_/mask_rcnn_digits.py'

channels = (24, 48, 72, 88)
width = 40
model = dict(
    backbone=dict(
        type='mmvmlp.HireMLP',
        arch=dict(depths=(1, 2, 3, 1), channels=channels, mlp_ratio=2),
    ),
    neck=dict(in_channels=list(channels), out_channels=width),
    rpn_head=dict(in_channels=width, feat_channels=width),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width),
        bbox_head=dict(in_channels=width, fc_out_channels=64),
        mask_roi_extractor=dict(out_channels=width),
        mask_head=dict(in_channels=width, conv_out_channels=32),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=16)),
    ),
)

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True,
        eta_min=1e-5,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1))
auto_scale_lr = dict(base_batch_size=8)
