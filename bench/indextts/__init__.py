"""How quick IndexTTS-2 is, on weights that are made up: speed does not depend on their values."""
