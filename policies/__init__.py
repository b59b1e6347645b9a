"""What is refused: the promotion gates, and the rules for everything that is rendered."""
