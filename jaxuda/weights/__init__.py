"""Weights of other frameworks' files, in and out. Needs neither TF nor PyTorch.

unpickle    tensors and plain containers of a pickle; nothing is executed
reading     files: PyTorch's two formats and safetensors
writing     files: PyTorch's newer format and safetensors
families    which network a file holds, and the names of its arrays
foundation  the same of DINOv2 and Depth Anything, as Hugging Face has them
conversion  a file as a network of ours
state_dict  a network of ours under the official names
converted   the folder that a conversion leaves
runs        a run as a network, a network as a run
"""
