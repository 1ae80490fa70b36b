"""The published test sets, read as they are passed on, and the protocols that were published with them."""
