# mmdet's 1x schedule with AdamW, and no weight decay on norms.
_base_ = [
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    '../imports.py',
    '../training_hooks.py',
    'without_decay.py',
]

default_hooks = {{_base_.training_hooks}}
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg={{_base_.without_decay}},
)
