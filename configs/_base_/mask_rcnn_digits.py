# Mask R-CNN on the digit scenes of `mmvmlp make-digits`: the model of mask_rcnn.py with a narrow
# neck and class-agnostic heads, trained from scratch on two cores.
_base_ = 'mask_rcnn.py'

data_root = 'data/digits/'
metainfo = dict(classes=tuple('0123456789'))
norm_cfg = dict(type='BN')
width = 64
# One sample per bin, and torchvision's operator, whose backward pass is faster on CPUs.
roi_layer = dict(sampling_ratio=1, use_torchvision=True)

# Neck of single-stride networks; the small ones have 192 channels at stride 8.
pyramid_neck = [
    dict(type='mmvmlp.SimplePyramid', in_channels=192, stride=8),
    dict(
        type='FPN',
        in_channels=[96, 192, 192, 192],
        out_channels=width,
        num_outs=4,
        norm_cfg=norm_cfg,
    ),
]

model = dict(
    neck=dict(out_channels=width, num_outs=4, norm_cfg=norm_cfg),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width, finest_scale=28, roi_layer=roi_layer),
        bbox_head=dict(
            in_channels=width, fc_out_channels=256, num_classes=10, reg_class_agnostic=True
        ),
        mask_roi_extractor=dict(out_channels=width, finest_scale=28, roi_layer=roi_layer),
        mask_head=dict(
            num_convs=2,
            in_channels=width,
            conv_out_channels=width,
            num_classes=10,
            class_agnostic=True,
            norm_cfg=norm_cfg,
            loss_mask=dict(loss_weight=2.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=400, max_per_img=200)),
)

# No flips, since mirrored digits are not digits.
scale = (160, 160)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
# No worker processes: scenes are small, and two cores are few.
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, betas=(0.9, 0.98), fused=True), clip_grad=dict(max_norm=35.0)
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
auto_scale_lr = dict(base_batch_size=4)
