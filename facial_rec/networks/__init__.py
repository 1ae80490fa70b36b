"""The networks that EdgeFace files hold."""
