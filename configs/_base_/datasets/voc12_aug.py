# PASCAL VOC 2012 with 21 classes and SBD's masks.
_base_ = 'segmentation.py'

dataset_type = 'PascalVOCDataset'
data_root = 'data/VOCdevkit/VOC2012/'
dataset = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                dataset,
                data_prefix=dict(img_path='JPEGImages', seg_map_path=masks),
                ann_file=f'ImageSets/Segmentation/{split}.txt',
                pipeline=_base_.train_pipeline,
            )
            for masks, split in (('SegmentationClass', 'train'), ('SegmentationClassAug', 'aug'))
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        dataset,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = val_dataloader
