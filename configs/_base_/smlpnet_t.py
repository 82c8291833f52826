backbone = dict(
    _delete_=True,
    type='mmvmlp.SMLPNet',
    arch='tiny',
    out_norm=True,
    norm_cfg=dict(type='SyncBN'),
    drop_path_rate=0.0,
    init_cfg=None,
)
channels = [80, 160, 320, 640]
