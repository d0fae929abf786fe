"""Weights of other frameworks' files, in and out. Needs neither TF nor PyTorch.

unpickle   tensors and plain containers out of a pickle; nothing is executed
reading    files: PyTorch's two formats and safetensors
writing    the same, but for the older of PyTorch's formats
families   which network a file holds, by its keys
conversion a file as a network of ours, a network of ours as a file
stored     the folder that a conversion leaves
"""
