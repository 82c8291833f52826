# RetinaNet on COCO with mmdet's model, data and 1x schedule, with AdamW.
_base_ = ['retinanet_model.py', 'datasets/coco_detection.py', 'schedules/coco_1x.py']
