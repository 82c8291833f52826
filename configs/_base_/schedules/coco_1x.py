# mmdet's 1x schedule with AdamW; no weight decay on norms, nor on what stands in their place in
# ResMLP and the deep S2-MLP.
_base_ = [
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    '../imports.py',
]

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={
            '.norm': dict(decay_mult=0.0),
            '.scale1.': dict(decay_mult=0.0),
            '.scale2.': dict(decay_mult=0.0),
        },
    ),
)
