# Mask R-CNN on COCO, multi-scale 3x schedule.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'datasets/coco_instance_multiscale.py',
    'schedules/coco_3x.py',
]

model = dict(backbone=dict(_delete_=True, out_norm=True))
