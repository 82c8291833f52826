"""Backbones of other packages, imported when a registry or a command looks for backbones.

A package names the module that registers its backbones as an entry point, in its
``pyproject.toml``::

    [project.entry-points."mmvmlp.backbones"]
    my_mlp = "my_mlp"
"""

from importlib.metadata import entry_points

GROUP = 'mmvmlp.backbones'

for entry_point in entry_points(group=GROUP):
    try:
        entry_point.load()
    except Exception as error:
        package = entry_point.dist.name if entry_point.dist else 'a package'
        raise ImportError(
            f'{package} names {entry_point.value!r} in its entry points {GROUP!r}, which fails: '
            f'{type(error).__name__}: {error}; mend or uninstall {package}'
        ) from error
