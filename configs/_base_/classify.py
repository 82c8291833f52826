# ImageNet-1K from scratch with DeiT's recipe, as used for Hire-MLP, sMLPNet and S2-MLP: AdamW, lr
# 1e-3, batch size 1024 (8 processes with 128 images each), weight decay 0.05, 300 epochs, 20 epochs
# of warm-up, cosine to 1e-5, label smoothing, Mixup and CutMix, repeated augmentation.
_base_ = [
    'datasets/imagenet.py',
    'schedules/without_decay.py',
    'mmpretrain::_base_/default_runtime.py',
    'imports.py',
    'training_hooks.py',
]
# Batch norms are not synchronised.
sync_bn = None

model = dict(
    type='ImageClassifier',
    backbone=dict(out_indices=(-1,), out_norm=True),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        cal_acc=False,
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)

# Replaced, since browse_dataset.py fails on the scope that mmengine adds to inherited settings.
visualizer = dict(
    _delete_=True, type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)
default_hooks = {{_base_.training_hooks}}
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg={{_base_.without_decay}},
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=20, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=20,
        end=300,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
