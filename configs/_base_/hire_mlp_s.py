backbone = dict(
    _delete_=True,
    type='mmvmlp.HireMLP',
    arch='small',
    out_norm=True,
    norm_cfg=dict(type='SyncBN'),
    drop_path_rate=0.1,
    init_cfg=None,
)
channels = [64, 128, 320, 512]
