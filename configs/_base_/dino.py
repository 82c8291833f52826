# DINO with four levels on COCO: mmdet's model, data and schedule of 12 epochs. It takes strides
# 8-32, and the backbone learns at a tenth of the rate.
_base_ = [
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'datasets/load_image.py',
    'imports.py',
    'training_hooks.py',
]

model = dict(backbone=dict(_delete_=True, out_indices=(1, 2, 3), out_norm=True))

train_pipeline = [_base_.load_image, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = {{_base_.training_hooks}}
optim_wrapper = dict(
    constructor='mmvmlp.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, backbone_lr_mult=0.1),
)
