# PASCAL VOC as in mmdet's base config: training on trainval of 2007 and 2012, each image three
# times an epoch, and tests on the test split of 2007; damaged images raise an error.
_base_ = ['mmdet::_base_/datasets/voc0712.py', 'load_image.py']

train_pipeline = [_base_.load_image, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.load_image, *_base_.test_pipeline[1:]]
year_2007, year_2012 = _base_.train_dataloader.dataset.dataset.datasets
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            datasets=[
                dict(year_2007, pipeline=train_pipeline),
                dict(year_2012, pipeline=train_pipeline),
            ]
        )
    )
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
