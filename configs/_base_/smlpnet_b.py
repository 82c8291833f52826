backbone = dict(
    _delete_=True,
    type='mmvmlp.SMLPNet',
    arch='base',
    out_norm=True,
    norm_cfg=dict(type='SyncBN'),
    drop_path_rate=0.3,
    init_cfg=None,
)
channels = [112, 224, 448, 896]
