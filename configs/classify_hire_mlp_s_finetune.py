# Fine-tunes Hire-MLP-S from ImageNet weights on your own images, in one folder per class under
# data/images/train/ and data/images/val/: crops and flips, 30 epochs, layer-wise learning-rate
# decay.
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

# Not repeated augmentation, which samples only a third of the images per epoch, or none of < 256.
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
        # A ratio, since an absolute value of 1e-6 exceeds the learning rate of the lowest layers.
        eta_min_ratio=0.01,
        by_epoch=True,
        begin=3,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=64)
