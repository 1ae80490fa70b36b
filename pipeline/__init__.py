"""The whole recogniser (super-resolver and EdgeFace), its evaluation, thresholds, reports and export."""
