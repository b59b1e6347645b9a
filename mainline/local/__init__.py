"""The embedded environment: agent, gateway and servers on one machine, reading the very files that a cluster reads."""
