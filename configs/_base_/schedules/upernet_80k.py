# As released for Hire-MLP-S: AdamW, lr 1.2e-4, weight decay 0.01, 80k steps, 800 steps of warm-up.
_base_ = 'segmentation.py'

optim_wrapper = dict(optimizer=dict(lr=1.2e-4, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=800),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=800, end=80000),
]
train_cfg = dict(max_iters=80000, val_interval=8000)
default_hooks = dict(checkpoint=dict(interval=8000))
auto_scale_lr = dict(base_batch_size=32)
