# S2-MLPv2: learning rate 2e-3, 10 epochs of warm-up, and an exponential moving average of the
# weights, with sMLPNet's decay. It has no final norm.
_base_ = 'classify.py'

model = dict(backbone=dict(out_norm=False))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=10,
        end=300,
        convert_to_iter_based=True,
    ),
]
custom_hooks = [dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
