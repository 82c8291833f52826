# Mask R-CNN on COCO as for AS-MLP: 1x schedule with random short sides of 480-800, where
# mask_rcnn.py has a single scale.
_base_ = ['mask_rcnn_model.py', 'datasets/coco_instance_multiscale.py', 'schedules/coco_1x.py']
