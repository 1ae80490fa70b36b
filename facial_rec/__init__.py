"""EdgeFace: the networks, every file that holds their weights, and embeddings of faces."""
