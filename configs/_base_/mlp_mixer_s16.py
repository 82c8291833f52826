backbone = dict(
    _delete_=True,
    type='mmvmlp.MLPMixer',
    arch='s16',
    out_indices=(-1,),
    out_norm=True,
    drop_path_rate=0.1,
    init_cfg=None,
)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=512, stride=16)
channels = [128, 256, 512, 512]
