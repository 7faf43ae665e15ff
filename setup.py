"""Compute the package list from the folders at the root; everything else stands in pyproject.toml."""

from setuptools import find_namespace_packages, setup

FOLDERS = ("agents", "graphs", "tools", "prompts", "memory")
CACHES = ("__pycache__", "*.__pycache__")


def packages() -> list[str]:
    """All packages and data folders of the distribution, with the root folders under the ``rereader`` namespace."""
    found = find_namespace_packages("src", exclude=CACHES)
    for folder in FOLDERS:
        found.append(f"rereader.{folder}")
        found += [f"rereader.{folder}.{name}" for name in find_namespace_packages(folder, exclude=CACHES)]
    return found


setup(packages=packages())
