"""Who may do what in AWS: IAM documents as pure functions of the declarations, and nothing else."""
