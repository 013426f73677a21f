"""The HTTP ring: bytes and headers outside, `ClientRequest` and `Reply` inside. Handlers parse, call, respond."""
