"""How two parties talk: messages, who may send what to whom, errors, actors, and what carries the messages."""
