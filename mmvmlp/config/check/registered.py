"""Look up the types that a config names."""

from typing import Any

from mmengine.registry import Registry


def registered(registry: Registry, kind: Any) -> Any:
    """Return the type that mmengine would build in the default scope, or None if unknown.

    Args:
        registry: Root registry.
        kind: Value of ``type``: a name, or the type itself.
    """
    if not isinstance(kind, str):
        return kind
    # A root registry alone ignores the default scope.
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(kind)
