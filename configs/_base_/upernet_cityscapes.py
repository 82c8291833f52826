# UperNet on Cityscapes with mmsegmentation's data, and its schedule for Swin and ConvNeXt: batch
# size 16 (8 processes with 2 crops each), 160k steps.
_base_ = ['upernet_model.py', 'datasets/cityscapes.py', 'schedules/upernet_160k.py']

num_classes = 19
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
)
