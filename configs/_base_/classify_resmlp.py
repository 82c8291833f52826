# ResMLP: Lamb, lr 5e-3, batch size 2048 (8 processes with 256 images each), weight decay 0.2, 400
# epochs, 5 epochs of warm-up; test crop ratio 0.9. Its authors trained in float32 only.
_base_ = 'classify.py'

optim_wrapper = dict(optimizer=dict(_delete_=True, type='Lamb', lr=5e-3, weight_decay=0.2))
param_scheduler = [
    dict(type='LinearLR', start_factor=2e-4, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=5,
        end=400,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=400)
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
