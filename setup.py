"""For tools that look for this file; pyproject.toml has the settings."""

from setuptools import setup

setup()
