# Cityscapes with 19 classes: 512x1024 crops, and scales relative to (2048, 1024).
_base_ = 'segmentation.py'

dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes/'
crop_size = (512, 1024)
scale = (2048, 1024)
load, annotations, resize, crop, *others = _base_.train_pipeline
train_pipeline = [
    *(load, annotations),
    dict(resize, scale=scale),
    dict(crop, crop_size=crop_size),
    *others,
]
test_pipeline = [load, dict(_base_.test_pipeline[1], scale=scale), *_base_.test_pipeline[2:]]
resizes, *other_transforms = _base_.tta_pipeline[1].transforms
tta_pipeline = [
    load,
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(each, scale=(each.scale[0], 2 * each.scale[1])) for each in resizes],
            *other_transforms,
        ],
    ),
]
dataset = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        dataset,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        dataset,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
