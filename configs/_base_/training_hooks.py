# Hooks of all trainings: whole checkpoints, exact resuming, refusal of losses like NaN and of
# checkpoints that do not fit.
training_hooks = dict(
    checkpoint=dict(type='mmvmlp.CheckpointHook'),
    exact_resume=dict(type='mmvmlp.ExactResumeHook'),
    finite_loss=dict(type='mmvmlp.FiniteLossHook'),
    strict_checkpoint=dict(type='mmvmlp.StrictCheckpointHook'),
)
