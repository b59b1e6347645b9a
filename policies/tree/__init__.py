"""Rules that CEL cannot say because they look at more than one object, on a whole rendered tree."""
