"""Publish trained models as folders for the Hugging Face Hub, and load them."""

from mmvmlp.hub.folders import from_pretrained, push_to_hub
from mmvmlp.hub.publishing import publish_checkpoint

__all__ = ['from_pretrained', 'publish_checkpoint', 'push_to_hub']
