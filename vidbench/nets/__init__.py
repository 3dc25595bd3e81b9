"""Networks in plain torch, one paper a file."""
