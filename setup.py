"""Packages: jaxuda, and configs/ inside it; the rest is in pyproject.toml."""

import setuptools

setuptools.setup(
  packages=[
    *setuptools.find_packages(include=['jaxuda*']),
    'jaxuda.configs',
    *('jaxuda.configs.parts', 'jaxuda.configs.tables'),
  ],
  package_dir={'jaxuda.configs': 'configs'},
)
