"""The networks of CosyVoice-300M as ONNX graphs, one module each, built from the release's tensors."""
