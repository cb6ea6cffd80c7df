"""Posteriors: chains that can be killed, other engines, and the tree in which draws are kept."""
