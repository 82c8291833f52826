# UperNet on PASCAL VOC 2012 with SBD's masks: mmsegmentation's data, 40k steps with batch size 16
# (8 processes with 2 crops each), and otherwise its schedule for Swin and ConvNeXt.
_base_ = ['upernet_model.py', 'datasets/voc12_aug.py', 'schedules/upernet_160k.py']

num_classes = 21
model = dict(
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=40000),
]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
