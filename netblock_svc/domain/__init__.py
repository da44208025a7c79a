"""Values and rules of networks, ports and volumes. Pure."""
