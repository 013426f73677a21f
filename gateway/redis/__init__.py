"""What several gateways share by one Redis, and how each goes on without it. Knows nothing about HTTP or engines."""
