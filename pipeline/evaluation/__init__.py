"""What is compared with what, on which faces, and what is said about it."""
