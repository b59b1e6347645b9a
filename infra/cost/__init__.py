"""What the declared state costs: declarations, a price book and assumptions in, lines of a bill out."""
