"""Reads and writes weights in other frameworks' files, without TF or PyTorch.

unpickle    tensors and plain containers of a pickle; nothing is executed
reading     files: PyTorch's two formats and safetensors
writing     files: PyTorch's newer format and safetensors
families    which network a file holds, and the names of its arrays
foundation  the same for DINOv2 and Depth Anything, as on Hugging Face
conversion  a file as a network of ours
state_dict  a network of ours under the official names
converted   the folder that a conversion leaves
runs        a run as a network, a network as a run
"""
