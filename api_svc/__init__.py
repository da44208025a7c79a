"""The public door: instances, operations, hosts and events; the state machine; policy."""
