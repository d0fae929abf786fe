"""Datasets, label tables and the input pipeline.

Nothing is imported here, so that packages that do without TensorFlow do not
load it.
"""

import os

# Read when TensorFlow is loaded: log only warnings and errors.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
# TensorFlow announces oneDNN at every start, whatever its log level; nothing
# here would be faster with it.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
