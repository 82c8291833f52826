# Registers the types of mmvmlp in programs that do not import it.
custom_imports = dict(
    imports=[
        'mmvmlp.backbones',
        'mmvmlp.necks',
        'mmvmlp.checkpoints',
        'mmvmlp.datasets.loading',
    ],
    allow_failed_imports=False,
)
# Synchronises batch norms across processes; no effect with a single process.
sync_bn = 'torch'
