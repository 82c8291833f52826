# Cascade Mask R-CNN on COCO as for AS-MLP: 1x schedule with random short sides of 480-800.
_base_ = [
    'cascade_mask_rcnn_model.py',
    'datasets/coco_instance_multiscale.py',
    'schedules/coco_1x.py',
]
