# What makes the types of mmvmlp known where a checkpoint's config is read without it.
custom_imports = dict(
    imports=[
        'mmvmlp.backbones',
        'mmvmlp.necks',
        'mmvmlp.checkpoints',
        'mmvmlp.datasets.loading',
    ],
    allow_failed_imports=False,
)
# Batch norms see the batches of all processes; on a single one they stay as they are.
sync_bn = 'torch'
