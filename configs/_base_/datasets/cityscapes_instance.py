# Cityscapes with masks of eight classes as in mmdet's base config: random short sides of 800-1024,
# each image eight times an epoch; damaged images raise an error. Tests require cityscapesscripts.
_base_ = ['mmdet::_base_/datasets/cityscapes_instance.py', 'load_image.py']

train_pipeline = [_base_.load_image, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
