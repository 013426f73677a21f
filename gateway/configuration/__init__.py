"""The configuration directory: read, checked and typed. Knows nothing about HTTP or about what an engine does."""
