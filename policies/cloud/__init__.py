"""Rules for the cloud: pure functions over the resources that a Pulumi program registers."""
