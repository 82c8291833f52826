# Cascade Mask R-CNN on COCO, 3x with several scales.
_base_ = [
    'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py',
    'datasets/coco_instance_multiscale.py',
    'schedules/coco_3x.py',
]

model = dict(backbone=dict(_delete_=True, out_norm=True))
