# Cascade Mask R-CNN with the box heads of Swin, which the published FLOPs require: four
# convolutions with norms and one linear layer, GIoU loss.
_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'

box_head = dict(
    type='ConvFCBBoxHead',
    num_shared_convs=4,
    num_shared_fcs=1,
    in_channels=256,
    conv_out_channels=256,
    fc_out_channels=1024,
    roi_feat_size=7,
    num_classes=80,
    norm_cfg=dict(type='BN'),
    reg_class_agnostic=False,
    reg_decoded_bbox=True,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
)
box_coder = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0])
model = dict(
    backbone=dict(_delete_=True, out_norm=True),
    roi_head=dict(
        bbox_head=[
            dict(box_head, bbox_coder=dict(box_coder, target_stds=[0.1, 0.1, 0.2, 0.2])),
            dict(box_head, bbox_coder=dict(box_coder, target_stds=[0.05, 0.05, 0.1, 0.1])),
            dict(box_head, bbox_coder=dict(box_coder, target_stds=[0.033, 0.033, 0.067, 0.067])),
        ]
    ),
)
