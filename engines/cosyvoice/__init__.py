"""CosyVoice-300M-SFT on a CPU: its networks as ONNX graphs, and what drives them, without PyTorch.

Du et al., "CosyVoice: A Scalable Multilingual Zero-shot Text-to-speech Synthesizer", arXiv:2407.05407.
"""
