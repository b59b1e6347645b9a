"""What every training job shares: data by digest, checks, ONNX export, the artifact and its registration."""
