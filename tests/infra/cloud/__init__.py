"""The cloud, registered for real against an engine that only remembers."""
