"""What things cost, as commands: absolute times on shared cores say little, ratios more."""
