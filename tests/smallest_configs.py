"""The cheapest config of each family, by the counts that the metafiles keep."""

from mmengine import fileio


def smallest_configs(method: str) -> list[str]:
    """List the config of a method with the fewest parameters, of each family.

    Args:
        method: What the configs' names begin with, such as ``'mask_rcnn'``.
    """
    configs = []
    for metafile in fileio.load('model-index.yml')['Import']:
        models = [
            model
            for model in fileio.load(metafile)['Models']
            if model['Config'].startswith(f'configs/{method}_')
        ]
        configs.append(min(models, key=lambda model: model['Metadata']['Parameters'])['Config'])
    return configs
