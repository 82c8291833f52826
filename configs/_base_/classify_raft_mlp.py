# RaftMLP: lr 2e-3, batch size 2048 (8 processes with 256 images each), 305 epochs, the first 5 of
# them with warm-up.
_base_ = 'classify.py'

optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=5e-4, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=5,
        end=305,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=305)
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=2048)
