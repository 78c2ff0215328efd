"""``fishbone federate``: HoVeFL, FedAvg or centralised training of one two-branch network."""
