# ConvMLP: lr 5e-4, 10 epochs at the lowest rate after the 300, an exponential moving average of the
# weights, test crop ratio 0.9. What its README does not say, such as the warm-up, is DeiT's.
_base_ = 'classify.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_epochs=310)
test_pipeline = [
    _base_.load_image,
    dict(type='ResizeEdge', scale=248, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
custom_hooks = [dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
