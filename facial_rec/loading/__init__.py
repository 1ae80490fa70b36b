"""From a name to a checked network: files of every container, read whole or refused, and written."""
