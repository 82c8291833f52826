# Hire-MLP-Tiny on small images of one digit, in ImageNet's layout, trained from scratch on two
# cores with SGD, without Mixup and CutMix. Generate its data with
# mmvmlp make-digits data/digits_classes --layout imagenet --train 20000 --val 1000 \
#     --size 32 --digits-per-scene 1 1 --digit-height 0.75 0.95
_base_ = ['classify_hire_mlp_t.py', '_base_/digits.py']

data_root = 'data/digits_classes/'
num_classes = 10
size = 32

data_preprocessor = dict(num_classes=num_classes)
model = dict(head=dict(num_classes=num_classes), train_cfg=dict(_delete_=True))

# No flips, since mirrored digits are not digits.
train_pipeline = [
    _base_.load_image,
    dict(type='RandomResizedCrop', scale=size, crop_ratio_range=(0.8, 1.0)),
    # Writers of val differ from those of train, mostly in slant.
    dict(
        type='Shear',
        magnitude_range=(0.0, 0.2),
        magnitude_std='inf',
        direction='horizontal',
        interpolation='bilinear',
        prob=1.0,
    ),
    *_base_.grey,
    dict(type='Invert', prob=0.5),
    dict(type='PackInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=(size, size)),
    *_base_.grey,
    dict(type='PackInputs'),
]
# No worker processes: images are small, and two cores are few.
loader = dict(batch_size=32, num_workers=0, persistent_workers=False)
dataset = dict(_delete_=True, type='CustomDataset', data_root=data_root)
train_dataloader = dict(
    **loader,
    sampler=dict(type='DefaultSampler'),
    dataset=dict(**dataset, data_prefix='train', pipeline=train_pipeline),
)
val_dataloader = dict(**loader, dataset=dict(**dataset, data_prefix='val', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(_delete_=True, lr=0.025, **_base_.sgd),
    clip_grad=dict(max_norm=5.0),
)
max_epochs = 2
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=80),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True,
        eta_min=0.0,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(max_keep_ckpts=1))
auto_scale_lr = dict(base_batch_size=32)
