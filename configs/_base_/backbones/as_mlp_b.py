backbone = dict(type='mmvmlp.ASMLP', arch='b', drop_path_rate=0.5)
channels = [128, 256, 512, 1024]
# Detectors and UperNet have rates of their own; Mask R-CNN's is released for T and S.
detector_backbone = dict(backbone, drop_path_rate=0.2)
cascade_backbone = dict(backbone, drop_path_rate=0.2)
cascade_3x_backbone = dict(backbone, drop_path_rate=0.3)
upernet_backbone = dict(backbone, drop_path_rate=0.5)
