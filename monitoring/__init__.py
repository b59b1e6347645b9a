"""What is watched: objectives, alerts, dashboards, runbooks and drift."""
