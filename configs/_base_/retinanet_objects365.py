# RetinaNet on Objects365 v2 with mmdet's data and schedule (12 epochs, 10k steps of warm-up,
# gradients clipped at 35), with AdamW.
_base_ = ['retinanet_model.py', 'datasets/objects365v2_detection.py', 'schedules/coco_1x.py']

model = dict(bbox_head=dict(num_classes=365))

optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=10000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
