# RetinaNet: mmdet's model with FPN, without its backbone. It starts at stride 8, so the backbone
# does not emit the finer level, whose norm would be unused.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    backbone=dict(_delete_=True, out_indices=(1, 2, 3), out_norm=True),
    neck=dict(start_level=0),
)
