"""Figures of score sets, NumPy only: verification, identification, folds, intervals."""
