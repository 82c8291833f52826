# Mix-in: large-scale jitter of images with masks, as in mmdet's lsj-100e_coco-instance.py. Images
# are scaled by 0.1 to 2, and cropped or padded to 1024x1024.
#     _base_ = ['mmvmlp::mask_rcnn_hire_mlp_s.py', 'mmvmlp::_base_/large_scale_jitter.py']
#     train_dataloader = dict(dataset=dict(pipeline=_base_.jittered_pipeline))
#     model = dict(data_preprocessor=dict(batch_augments=_base_.jittered_batch))
jittered_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='mmvmlp')),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=(1024, 1024),
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
jittered_batch = [dict(type='BatchFixedSizePad', size=(1024, 1024), pad_mask=True)]
