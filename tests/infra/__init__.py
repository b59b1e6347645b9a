"""The room `infra`."""
