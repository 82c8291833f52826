# LVIS v1 as in mmdet's base config: images of rare classes are repeated, random short sides of
# 640-800; damaged images raise an error. Reading its annotations requires lvis.
_base_ = ['mmdet::_base_/datasets/lvis_v1_instance.py', 'load_image.py']

train_pipeline = [_base_.load_image, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
