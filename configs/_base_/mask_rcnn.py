# Mask R-CNN on COCO as the Hire-MLP and Wave-MLP tables were made, as far as it is known:
# mmdet's model, data and 1x schedule (800x1333, one scale), AdamW, no weight decay on norms, nor on
# what stands in their place in ResMLP and the deep S2-MLP.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]
custom_imports = dict(
    imports=[
        'mmvmlp.backbones',
        'mmvmlp.necks',
        'mmvmlp.checkpoint',
        'mmvmlp.datasets.loading',
    ],
    allow_failed_imports=False,
)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={'.norm': dict(decay_mult=0.0), '.scale': dict(decay_mult=0.0)},
    ),
)
