"""Packages: jaxuda, and configs/ within it; pyproject.toml says the rest."""

import setuptools

setuptools.setup(
  packages=[
    *setuptools.find_packages(include=['jaxuda*']),
    'jaxuda.configs',
    *('jaxuda.configs.parts', 'jaxuda.configs.tables'),
  ],
  package_dir={'jaxuda.configs': 'configs'},
)
