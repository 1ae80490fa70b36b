"""Photographs as users have them, to aligned faces in splits: read, found, aligned, shared out by person, written."""
