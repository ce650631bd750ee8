"""The search and the training."""
