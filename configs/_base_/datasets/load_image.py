# The toolboxes' own transform, by the name under which their inferencers look for it; the file
# backend refuses empty and truncated images.
load_image = dict(type='LoadImageFromFile', backend_args=dict(backend='mmvmlp'))
