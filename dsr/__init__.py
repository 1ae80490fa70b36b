"""DSR: very-low-resolution faces to 112x112, trained so that a recogniser still sees the same person."""
