"""The report of an evaluation: JSON first, and the page, plots and words made from it."""
