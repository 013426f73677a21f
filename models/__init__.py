"""Model bundles on disk: what engines read. Imports nothing of ours."""
