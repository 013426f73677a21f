"""What operators see of a gateway that runs: metrics, logs and traces, and never a text, a key or an address."""
