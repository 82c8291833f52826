# UperNet on ADE20K as released for Hire-MLP-S: AdamW, lr 1.2e-4, weight decay 0.01, batch size 32
# (8 processes with 4 crops each), 80k steps, 800 steps of warm-up.
_base_ = ['datasets/ade20k.py', 'segmentation.py', 'imports.py']

loss = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)
model = dict(
    backbone=dict(out_norm=True),
    decode_head=dict(
        type='UPerHead',
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=loss,
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(loss, loss_weight=0.4),
    ),
)

optim_wrapper = dict(optimizer=dict(lr=1.2e-4, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=800),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=800, end=80000),
]
train_cfg = dict(max_iters=80000, val_interval=8000)
default_hooks = dict(checkpoint=dict(interval=8000))
auto_scale_lr = dict(base_batch_size=32)
