"""What is done: one module per verb, and the embedded environment under local/."""
