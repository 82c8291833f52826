# Mix-in: tests and saves an exponential moving average of the weights, as mmdet's RTMDet does.
#     _base_ = ['mmvmlp::mask_rcnn_hire_mlp_s.py', 'mmvmlp::_base_/ema.py']
custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.0002,
        update_buffers=True,
        priority=49,
    )
]
