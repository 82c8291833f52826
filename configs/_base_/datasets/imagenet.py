# ImageNet-1K with DeiT's augmentation, as in mmpretrain's base config for Swin; damaged images
# raise an error, and repeated augmentation samples each image three times.
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py', 'load_image.py']

data_root = 'data/imagenet/'
bgr_mean = [103.53, 116.28, 123.675]
train_pipeline = [
    _base_.load_image,
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
    ),
    dict(
        type='RandomErasing',
        erase_prob=0.25,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=bgr_mean,
        fill_std=[57.375, 57.12, 58.395],
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=128,
    sampler=dict(type='RepeatAugSampler', shuffle=True),
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=128, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
