_base_ = ['_base_/classify.py', '_base_/backbones/hire_mlp_t.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))

# Only Tiny was trained with batch size 2048 (8 processes with 256 images each).
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=2048)
