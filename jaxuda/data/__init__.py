"""Datasets, label tables and the input pipeline.

Nothing is imported here, so that rooms without TensorFlow do not load it.
"""

import os

# Read when TensorFlow is loaded: warnings and errors only.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
# TensorFlow announces oneDNN at every start, whatever the level of its log;
# nothing here would be faster with it.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
