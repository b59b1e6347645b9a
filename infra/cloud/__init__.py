"""The Pulumi shell: turns declarations into resources; no decisions live here."""
