backbone = dict(
    _delete_=True,
    type='mmvmlp.S2MLP',
    arch='deep',
    out_indices=(-1,),
    out_norm=True,
    drop_path_rate=0.1,
    init_cfg=None,
)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=384, stride=16)
channels = [96, 192, 384, 384]
