"""The trained chain in other runtimes: graphs, precisions, and the check that it is still the same."""
