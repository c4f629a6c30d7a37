"""The two APIs: what to send, how to read the answer, and the only sockets."""
