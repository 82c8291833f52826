# MLP-Mixer: Adam with decoupled weight decay 0.1, lr 1e-3, batch size 4096 (32 processes with 128
# images each), 300 epochs, 10k steps of warm-up (32 epochs), linear decay, gradients clipped at 1,
# RandAugment with magnitude 15, Mixup 0.5. Images are scaled to [-1, 1].
_base_ = 'classify.py'

data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.5)]))

optim_wrapper = dict(optimizer=dict(weight_decay=0.1), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, end=32, convert_to_iter_based=True),
    dict(
        type='PolyLR',
        eta_min=0.0,
        power=1.0,
        by_epoch=True,
        begin=32,
        end=300,
        convert_to_iter_based=True,
    ),
]
train_pipeline = [
    _base_.load_image,
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=15,
        hparams=dict(pad_val=[128, 128, 128], interpolation='bicubic'),
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(sampler=dict(type='DefaultSampler'), dataset=dict(pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=4096)
