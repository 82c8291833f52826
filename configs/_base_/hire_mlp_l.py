backbone = dict(
    _delete_=True,
    type='mmvmlp.HireMLP',
    arch='large',
    out_norm=True,
    norm_cfg=dict(type='SyncBN'),
    drop_path_rate=0.3,
    init_cfg=None,
)
channels = [96, 192, 384, 768]
