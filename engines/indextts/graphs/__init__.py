"""The networks of IndexTTS-2 as ONNX graphs, one module each, built from the release's tensors."""
