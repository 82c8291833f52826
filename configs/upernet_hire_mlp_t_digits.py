# UperNet on digit scenes in ADE20K's layout, background and ten digits: the model of upernet.py
# with narrow heads, trained from scratch on two cores with small crops, tested on whole scenes.
_base_ = 'upernet_hire_mlp_t.py'

data_root = 'data/digits_ade/'
width = 64
crop_size = (96, 96)
classes = ('background', *'0123456789')

model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(channels=width, num_classes=len(classes)),
    auxiliary_head=dict(channels=width, num_classes=len(classes)),
)

# No flips: a mirrored digit is none. The colours of train's two photographs are not val's.
train_pipeline = [
    dict(type='mmvmlp.LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.95),
    dict(type='PhotoMetricDistortion', hue_delta=180),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='mmvmlp.LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=classes),
    reduce_zero_label=False,
)
# Loaded by the training process itself: the scenes are small, and two cores are few.
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, batch_size=8, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 1000
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=35.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=max_iters, eta_min=1e-5),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters, max_keep_ckpts=1))
auto_scale_lr = dict(base_batch_size=8)
