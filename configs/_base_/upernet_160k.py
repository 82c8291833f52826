# UperNet on ADE20K with mmsegmentation's schedule for Swin and ConvNeXt, and batch size 16 (8
# processes with 2 crops each).
_base_ = ['upernet_model.py', 'datasets/ade20k.py', 'schedules/upernet_160k.py']

train_dataloader = dict(batch_size=2)
