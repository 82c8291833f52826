# DINO on the digit scenes, with the backbone of mask_rcnn_hire_mlp_nano_digits.py: the model of
# dino.py with width 64, one encoder layer, two decoder layers and 50 queries, trained from scratch,
# the backbone at the full learning rate. projects/families compares the two.
_base_ = '_base_/dino.py'

data_root = 'data/digits/'
metainfo = dict(classes=tuple('0123456789'))
channels = (24, 48, 72, 88)
width = 64
attention = dict(embed_dims=width)
feedforward = dict(embed_dims=width, feedforward_channels=256)
model = dict(
    num_queries=50,
    backbone=dict(
        type='mmvmlp.HireMLP',
        arch=dict(depths=(1, 2, 3, 1), channels=channels, mlp_ratio=2),
    ),
    neck=dict(in_channels=list(channels[1:]), out_channels=width),
    encoder=dict(
        num_layers=1,
        layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=feedforward),
    ),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feedforward),
    ),
    positional_encoding=dict(num_feats=width // 2),
    bbox_head=dict(num_classes=10, embed_dims=width),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)),
    test_cfg=dict(max_per_img=50),
)

# No flips, since mirrored digits are not digits.
scale = (160, 160)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
dataset = dict(data_root=data_root, metainfo=metainfo)
# No worker processes: scenes are small, and two cores are few.
loader = dict(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, fused=True),
    paramwise_cfg=dict(backbone_lr_mult=1.0),
)
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
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=1))
auto_scale_lr = dict(base_batch_size=8)
