backbone = dict(type='mmvmlp.ASMLP', arch='t', drop_path_rate=0.2)
channels = [96, 192, 384, 768]
# Detectors and UperNet have rates of their own; Mask R-CNN's is released for T and S.
detector_backbone = dict(backbone, drop_path_rate=0.2)
cascade_backbone = dict(backbone, drop_path_rate=0.1)
cascade_3x_backbone = dict(backbone, drop_path_rate=0.2)
upernet_backbone = dict(backbone, drop_path_rate=0.3)
