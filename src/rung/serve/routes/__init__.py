"""What the server answers, one module for each endpoint or two."""
