"""Speed against the usual ways, as ratios measured side by side in one run."""
