"""The server's endpoints, one or two per module."""
