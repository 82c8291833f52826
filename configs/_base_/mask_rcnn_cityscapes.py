# Mask R-CNN on Cityscapes with mmdet's loss, data and schedule (eight epochs, each image eight
# times an epoch), with AdamW: batch size 8 (8 processes with an image each), and half of COCO's
# learning rate.
_base_ = ['mask_rcnn_model.py', 'datasets/cityscapes_instance.py', 'schedules/coco_1x.py']

num_classes = 8
model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=num_classes,
            loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
        ),
        mask_head=dict(num_classes=num_classes),
    )
)

optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=8, milestones=[7], gamma=0.1),
]
train_cfg = dict(max_epochs=8)
auto_scale_lr = dict(base_batch_size=8)
