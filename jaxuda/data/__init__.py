"""Datasets, label tables and the input pipeline: the only TensorFlow here.

Nothing is imported, so that what needs no TensorFlow (`labels`, `rendering`)
does not load it.
"""

import os

# Read when TensorFlow is loaded: warnings and errors only.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
# Where a CPU has it, TensorFlow announces it at every start, whatever the level
# of its log; nothing here would be faster with it.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
