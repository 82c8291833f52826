# UperNet on small digit scenes in ADE20K's layout, background and ten digits: the model of
# upernet.py with narrow heads, trained from scratch on two cores with SGD. Generate its data with
# mmvmlp make-digits data/digits_ade --layout ade --train 4000 --val 200 --size 96 \
#     --digit-height 0.3 0.5
_base_ = ['upernet_hire_mlp_t.py', '_base_/digits.py']

data_root = 'data/digits_ade/'
scene_size = (96, 96)
classes = ('background', *'0123456789')
# Three quarters of the pixels are background.
loss = dict(class_weight=[0.4] + [1.0] * 10)
head = dict(channels=64, num_classes=len(classes), loss_decode=loss)

model = dict(
    data_preprocessor=dict(size=scene_size),
    decode_head=head,
    auxiliary_head=head,
)

# No flips, since mirrored digits are not digits.
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations'),
    *_base_.grey,
    dict(type='mmpretrain.Invert', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    _base_.load_image,
    *_base_.grey,
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# The inherited pipeline has scales for ADE20K.
tta_pipeline = None
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=dict(classes=classes),
    reduce_zero_label=False,
)
# No worker processes: scenes are small, and two cores are few.
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, batch_size=8, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(**loader, batch_size=8, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 1250
optim_wrapper = dict(
    optimizer=dict(_delete_=True, lr=0.2, **_base_.sgd),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=max_iters, eta_min=0.0),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters, max_keep_ckpts=1))
auto_scale_lr = dict(base_batch_size=8)
