# ViP: learning rate 2e-3, batch size 2048 (8 processes with 256 images each); test crop ratio 0.9.
_base_ = 'classify.py'

optim_wrapper = dict(optimizer=dict(lr=2e-3))
test_pipeline = [
    _base_.load_image,
    dict(type='ResizeEdge', scale=248, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=2048)
