# Mask R-CNN on COCO as for AS-MLP: 1x schedule with random short sides of 480-800, where
# mask_rcnn.py has a single scale.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'datasets/coco_instance_multiscale.py',
    'schedules/coco_1x.py',
]

model = dict(backbone=dict(_delete_=True, out_norm=True))
