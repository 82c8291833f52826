r"""Write the schemas with which tests check the files in ``cluster/``.

They are those of the published packages (Apache-2.0). From the root of the repository::

    uv run --no-project --with skypilot==0.14.1 --with kubeflow-training==1.9.4 \
        python development/cluster_schemas.py
"""

import json
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path('tests/data/cluster')
TYPES = {'str': 'string', 'int': 'integer', 'bool': 'boolean', 'float': 'number'}


def schema_of_job(job: Any) -> dict[str, Any]:
    """Return a JSON schema of Kubeflow's PyTorchJob.

    Kubeflow publishes Python classes. Those that the job does not reach are left out.

    Args:
        job: The job, parsed from YAML.
    """
    reached: dict[str, Any] = {}
    _reach('KubeflowOrgV1PyTorchJob', [job], reached)
    return {'$ref': '#/$defs/KubeflowOrgV1PyTorchJob', '$defs': reached}


def _reach(name: str, values: list[Any], reached: dict[str, Any]) -> None:
    kind = _class(name)
    properties = {}
    for attribute, key in kind.attribute_map.items():
        declared = kind.openapi_types[attribute]
        inner = [value[key] for value in values if isinstance(value, dict) and key in value]
        properties[key] = _schema(declared, inner, reached)
    required = [
        key for attribute, key in kind.attribute_map.items() if _refuses_none(kind, attribute)
    ]
    reached[name] = {'type': 'object', 'additionalProperties': False, 'properties': properties}
    if required:
        reached[name]['required'] = required


def _schema(declared: str, values: list[Any], reached: dict[str, Any]) -> dict[str, Any]:
    if declared in TYPES:
        # Quantities, such as 4 and 96Gi, are declared as strings.
        return {'type': TYPES[declared]}
    if inner := re.fullmatch(r'list\[(.+)\]', declared):
        items = [item for value in values if isinstance(value, list) for item in value]
        return {'type': 'array', 'items': _schema(inner[1], items, reached)}
    if inner := re.fullmatch(r'dict\(str, (.+)\)', declared):
        items = [item for value in values if isinstance(value, dict) for item in value.values()]
        if inner[1] == 'str':
            return {'type': 'object', 'additionalProperties': {'type': ['string', 'integer']}}
        return {'type': 'object', 'additionalProperties': _schema(inner[1], items, reached)}
    if not values or declared == 'object':
        return {}
    _reach(declared, values, reached)
    return {'$ref': f'#/$defs/{declared}'}


def _class(name: str) -> Any:
    for package in ('kubeflow.training', 'kubernetes.client'):
        found = getattr(import_module(package), re.sub(r'^K8sIoApi(Core)?', '', name), None)
        if found is not None:
            return found
    raise LookupError(name)


def _refuses_none(kind: Any, attribute: str) -> bool:
    try:
        setattr(kind.__new__(kind), attribute, None)
    except AttributeError:
        # Without client-side validation, which only required attributes ask for.
        return True
    return False


def schema_of_task() -> dict[str, Any]:
    """Return the schemas of SkyPilot's tasks, resources and storage as one."""
    from sky.utils import schemas

    task: dict[str, Any] = schemas.get_task_schema()
    task['properties']['resources'] = schemas.get_resources_schema()
    storage = {'anyOf': [{'type': 'string'}, schemas.get_storage_schema()]}
    task['properties']['file_mounts'] = {'type': 'object', 'additionalProperties': storage}
    return task


def main() -> None:
    """Write both schemas."""
    documents = yaml.safe_load_all(Path('cluster/pytorchjob.yaml').read_text())
    job = next(document for document in documents if document['kind'] == 'PyTorchJob')
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, package, schema in (
        ('pytorchjob', 'kubeflow-training', schema_of_job(job)),
        ('skypilot_task', 'skypilot', schema_of_task()),
    ):
        source = f'{package} {version(package)} (Apache-2.0), by development/cluster_schemas.py'
        text = json.dumps({'$comment': source, **schema}, indent=1)
        (FOLDER / f'{name}.schema.json').write_text(f'{text}\n')


if __name__ == '__main__':
    main()
