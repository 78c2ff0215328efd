"""The devices: what each one holds and how it answers."""
