"""Datasets, label tables and the input pipeline: the only TensorFlow here.

Nothing is imported, so that what needs no TensorFlow (`labels`, `rendering`)
does not load it.
"""

import os

# Read when TensorFlow is loaded: warnings and errors only.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
