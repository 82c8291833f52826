"""Types that a config names."""

from typing import Any

from mmengine.registry import Registry


def registered(registry: Registry, kind: Any) -> Any:
    """Find the type that mmengine would build, in the default scope; None if it is unknown.

    Args:
        registry: The root registry of such types.
        kind: The value of ``type``: a name, or the type itself.
    """
    if not isinstance(kind, str):
        return kind
    # A root registry alone knows nothing of the default scope.
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(kind)
