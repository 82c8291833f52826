# UperNet on ADE20K as released for Hire-MLP-S, with batch size 32 (8 processes with 4 crops each).
_base_ = ['upernet_model.py', 'datasets/ade20k.py', 'schedules/upernet_80k.py']
