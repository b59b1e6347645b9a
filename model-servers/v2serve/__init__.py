"""The V2 server: REST of the Open Inference Protocol for one ONNX model whose bytes Git names."""
