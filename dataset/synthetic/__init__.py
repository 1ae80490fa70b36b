"""People who do not exist, drawn and photographed."""
