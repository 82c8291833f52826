# Hire-MLP-S on images of your own, a folder a class in data/images/train/ and data/images/val/,
# from ImageNet weights: plain crops and flips, 30 epochs, and a learning rate that falls with the
# distance from the head.
_base_ = 'classify_hire_mlp_s.py'

data_root = 'data/images/'
num_classes = 10
train_pipeline = [
    _base_.load_image,
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
data_preprocessor = dict(num_classes=num_classes)
model = dict(head=dict(num_classes=num_classes), train_cfg=dict(_delete_=True))

# Repeated augmentation takes a third of the images an epoch, and none of fewer than 256.
train_dataloader = dict(
    batch_size=64,
    sampler=dict(type='DefaultSampler'),
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=data_root,
        data_prefix='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=data_root,
        data_prefix='val',
        pipeline={{_base_.test_pipeline}},
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    constructor='mmvmlp.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8),
)
max_epochs = 30
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=3, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        # A fraction: 1e-6 for all would be more than the lowest layers ever have.
        eta_min_ratio=0.01,
        by_epoch=True,
        begin=3,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=64)
