"""What becomes of a face before a network sees it: shrunk, degraded, varied, enlarged."""
