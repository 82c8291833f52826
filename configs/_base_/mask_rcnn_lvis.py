# Mask R-CNN on LVIS v1 with mmdet's data and 1x schedule, with AdamW. As in mmdet, tests keep 300
# boxes an image, which is what LVIS allows, of nearly any score.
_base_ = ['mask_rcnn_model.py', 'datasets/lvis_v1_instance.py', 'schedules/coco_1x.py']

num_classes = 1203
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=num_classes),
        mask_head=dict(num_classes=num_classes),
    ),
    test_cfg=dict(rcnn=dict(score_thr=1e-4, max_per_img=300)),
)
