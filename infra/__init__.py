"""What exists: declarations in Git, and the manifests and cloud that follow from them."""
