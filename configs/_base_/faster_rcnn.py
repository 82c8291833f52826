# Faster R-CNN on COCO with mmdet's model, data and 1x schedule, with AdamW.
_base_ = ['faster_rcnn_model.py', 'datasets/coco_detection.py', 'schedules/coco_1x.py']
