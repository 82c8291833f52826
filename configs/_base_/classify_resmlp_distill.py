# ResMLP's distillation: its recipe, with hard distillation from DeiT's teacher, a RegNetY-16GF of
# 82.9 % top-1, whose published weights timm downloads.
_base_ = 'classify_resmlp.py'

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'mmvmlp.engine.distillation'])
model = dict(
    type='mmvmlp.DistilledClassifier',
    teacher=dict(model='timm/regnety_160.deit_in1k', checkpoint=True),
    distillation='hard',
)
