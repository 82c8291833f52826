# ADE20K with 150 classes.
_base_ = 'segmentation.py'

dataset_type = 'ADE20KDataset'
data_root = 'data/ade/ADEChallengeData2016/'
dataset = dict(type=dataset_type, data_root=data_root, reduce_zero_label=True)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        dataset,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        dataset,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = val_dataloader
