backbone = dict(
    _delete_=True,
    type='mmvmlp.SMLPNet',
    arch='small',
    out_norm=True,
    norm_cfg=dict(type='SyncBN'),
    drop_path_rate=0.2,
    init_cfg=None,
)
channels = [96, 192, 384, 768]
