"""The commands of the small distribution."""
