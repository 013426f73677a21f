"""What engines share that speak to a server over the network. Knows no engine, and nothing of the gateway."""
