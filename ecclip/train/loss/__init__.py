"""Contrastive losses that know groups, with their gradients, a block of rows at a time."""
