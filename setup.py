"""Compute the package list from the folders at the root; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = ("agents", "graphs", "tools", "prompts", "memory")


def packages() -> list[str]:
    """All packages of the distribution, with the root folders under the ``rereader`` namespace."""
    found = find_packages("src")
    for folder in FOLDERS:
        found.append(f"rereader.{folder}")
        found += [f"rereader.{folder}.{name}" for name in find_packages(folder)]
    return found


setup(packages=packages())
