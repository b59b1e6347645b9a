"""Explanations of answers."""
