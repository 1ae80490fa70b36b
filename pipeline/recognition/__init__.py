"""Faces to people: backends, photographs, galleries, the local page."""
