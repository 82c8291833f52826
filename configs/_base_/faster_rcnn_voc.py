# Faster R-CNN on PASCAL VOC with mmdet's data and schedule (four epochs, each image three times an
# epoch), with AdamW and COCO's warm-up. As in mmdet, the learning rate is half of COCO's.
_base_ = ['faster_rcnn_model.py', 'datasets/voc0712_detection.py', 'schedules/coco_1x.py']

model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))

optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=4, milestones=[3], gamma=0.1),
]
train_cfg = dict(max_epochs=4)
