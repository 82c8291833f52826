# Objects365 v2 as in mmdet's base config; damaged images raise an error.
_base_ = ['mmdet::_base_/datasets/objects365v2_detection.py', 'load_image.py']

train_pipeline = [_base_.load_image, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
