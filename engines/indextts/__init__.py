"""Kind `indextts`: IndexTTS-2 on a CPU with ONNX Runtime."""
