"""What the gateway and the workers tell each other: messages, topics, positions."""
