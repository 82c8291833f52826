# RTMDet-Ins-L on COCO: mmdet's model without its backbone, data and schedule of 300 epochs with
# batch size 256 (mmdet's base config says 16). It takes strides 8-32. Means and deviations are
# those of RGB images, as our weights expect. Its norms are batch norms, which imports.py
# synchronises across processes. The neck doubles sizes, so images are padded to multiples of 32.
# To save memory, masks are read as polygons; data with masks in RLE, which mmdet then drops in
# silence, need poly2mask=True in both training pipelines.
_base_ = [
    'mmdet::rtmdet/rtmdet-ins_l_8xb32-300e_coco.py',
    'datasets/load_image.py',
    'imports.py',
    'training_hooks.py',
]

norm_cfg = dict(type='BN')
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(_delete_=True, out_indices=(1, 2, 3), out_norm=True),
    neck=dict(norm_cfg=norm_cfg),
    bbox_head=dict(norm_cfg=norm_cfg),
)

train_pipeline = [_base_.load_image, *_base_.train_pipeline[1:]]
train_pipeline_stage2 = [_base_.load_image, *_base_.train_pipeline_stage2[1:]]
test_pipeline = [_base_.load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = {{_base_.training_hooks}}
custom_hooks = [
    _base_.custom_hooks[0],
    dict(_base_.custom_hooks[1], switch_pipeline=train_pipeline_stage2),
]
optim_wrapper = dict(paramwise_cfg=dict(flat_decay_mult=0.0))
auto_scale_lr = dict(base_batch_size=256)
