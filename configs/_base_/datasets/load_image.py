# The toolboxes' own transform, which their inferencers look up by name; the file backend refuses
# damaged images.
load_image = dict(type='LoadImageFromFile', backend_args=dict(backend='mmvmlp'))
