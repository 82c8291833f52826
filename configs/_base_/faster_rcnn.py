# Faster R-CNN on COCO with mmdet's model, data and 1x schedule, with AdamW.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'datasets/coco_detection.py',
    'schedules/coco_1x.py',
]

model = dict(backbone=dict(_delete_=True, out_norm=True))
