"""Pictures by subject: trade-offs, decisions, conditions, training. Each is a Matplotlib figure of its own."""
