# Mask2Former for panoptic segmentation on COCO: mmdet's model, data with large-scale jitter, and
# schedule of 50 epochs. The backbone learns at a tenth of the rate. Reading panoptic annotations
# requires panopticapi, from github.com/cocodataset/panopticapi.
_base_ = [
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
    'datasets/load_image.py',
    'imports.py',
    'training_hooks.py',
]

model = dict(backbone=dict(_delete_=True, out_norm=True))

train_pipeline = [dict(_base_.load_image, to_float32=True), *_base_.train_pipeline[1:]]
test_pipeline = [_base_.load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = {{_base_.training_hooks}}
embedding = dict(decay_mult=0.0)
optim_wrapper = dict(
    constructor='mmvmlp.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        backbone_lr_mult=0.1,
        custom_keys=dict(query_embed=embedding, query_feat=embedding, level_embed=embedding),
    ),
)
