# Mask R-CNN on COCO as in the tables of Hire-MLP and Wave-MLP, as far as known: mmdet's model, data
# and 1x schedule (800x1333, single scale), with AdamW.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'datasets/coco_instance.py',
    'schedules/coco_1x.py',
]

model = dict(backbone=dict(_delete_=True, out_norm=True))
