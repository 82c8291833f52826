# Mask R-CNN on COCO, multi-scale 3x schedule.
_base_ = ['mask_rcnn_model.py', 'datasets/coco_instance_multiscale.py', 'schedules/coco_3x.py']
