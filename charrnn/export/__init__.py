"""Models for other programs: PyTorch (safetensors), ONNX, web pages; and import of weights.

Arrays and texts only: the files are written and read by `charrnn.cli`. Packages of the extra
`export` are imported where they are used. Begin with `pytorch_weights`.
"""
