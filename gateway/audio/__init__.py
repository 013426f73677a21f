"""Audio at the edge: PCM is the only currency inside; encoding happens once, here."""
