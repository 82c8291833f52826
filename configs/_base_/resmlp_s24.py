backbone = dict(
    _delete_=True,
    type='mmvmlp.ResMLP',
    arch='s24',
    out_indices=(-1,),
    out_norm=True,
    drop_path_rate=0.05,
    init_cfg=None,
)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=384, stride=16)
channels = [96, 192, 384, 384]
