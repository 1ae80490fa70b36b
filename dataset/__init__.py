"""Photographs of people, aligned, split by person, packed, and degraded on the fly."""
