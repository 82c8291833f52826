# Mask R-CNN on COCO as in the tables of Hire-MLP and Wave-MLP, as far as known: mmdet's model, data
# and 1x schedule (800x1333, single scale), with AdamW.
_base_ = ['mask_rcnn_model.py', 'datasets/coco_instance.py', 'schedules/coco_1x.py']
